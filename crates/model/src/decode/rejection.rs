//! What is said about an event that is not accepted.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::event::SchemaVersion;

/// An event that was not accepted, as it stands in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The event's place in the body, from 0.
    pub index: u32,
    /// Its `event_id`, where it could be read.
    pub event_id: Option<String>,
    /// Why, for machines.
    pub code: Code,
    /// The field at fault as a path (`timings.dns_ms`), where it is one field's fault.
    pub field: Option<String>,
    /// Why, for people.
    pub detail: String,
    /// The version it was written in, where that is known; not part of the answer.
    #[serde(skip)]
    pub version: Option<SchemaVersion>,
}

/// The contract's rejection codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A line of NDJSON is not JSON.
    BadJson,
    /// A version of the contract that is not known here.
    UnknownSchemaVersion,
    /// A required field is absent.
    MissingField,
    /// A field of the wrong type, form or range, or given twice; or an event too large or deep.
    InvalidField,
    /// Older than duplicates are remembered.
    TooOld,
    /// Ahead of the receiver's clock.
    InFuture,
    /// The token may not speak for this client.
    ClientMismatch,
}

impl Code {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::UnknownSchemaVersion => "unknown_schema_version",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::TooOld => "too_old",
            Self::InFuture => "in_future",
            Self::ClientMismatch => "client_mismatch",
        }
    }
}

/// A rejection before its event's index and id are put to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) field: Option<Cow<'static, str>>,
    pub(super) detail: String,
    pub(super) version: Option<SchemaVersion>,
}

impl Fault {
    pub(super) fn new(
        code: Code,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self { code, field: Some(field.into()), detail: detail.into(), version: None }
    }

    pub(super) fn invalid(field: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidField, field, detail)
    }

    pub(super) fn missing(field: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::MissingField, field, "is required")
    }

    /// A fault of the event as a whole.
    pub(super) fn of_event(detail: impl Into<String>) -> Self {
        Self { code: Code::InvalidField, field: None, detail: detail.into(), version: None }
    }
}

/// A fault and the id of the event that has it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) event_id: Option<String>,
    pub(super) fault: Fault,
}

impl Refused {
    pub(super) fn at(self, index: u32) -> Rejection {
        let Self { event_id, fault: Fault { code, field, detail, version } } = self;
        Rejection { index, event_id, code, field: field.map(Cow::into_owned), detail, version }
    }
}
