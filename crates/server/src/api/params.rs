//! The parameters of a request as they are described; [`super::query`] reads them, by the same bounds.

use model::score::Profile;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{
    KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{RefOr, Required};

use super::query::LAST_MS;
use super::{DAY_MS, DEFAULT_ROWS, LONGEST_MS, MOST_ROWS};
use crate::store::GroupBy;

/// `client_id`.
pub(super) struct OfClient;

/// `target`.
pub(super) struct OfTarget;

/// `from` and `to`, so many milliseconds apart at most.
pub(super) struct Within<const LONGEST_MS: i64>;

/// `limit`, where nothing is said and at most.
pub(super) struct AtMost<const DEFAULT: usize, const MOST: usize>;

/// As most answers have them.
pub(super) type Times = Within<LONGEST_MS>;
pub(super) type Rows = AtMost<DEFAULT_ROWS, MOST_ROWS>;

/// `profile` and `group_by`.
pub(super) struct Scored;

/// `id` and `open`.
pub(super) struct Which;

/// The id of an incident.
pub(super) struct Id;

type In = Option<ParameterIn>;

impl IntoParams for OfClient {
    fn into_params(_: impl Fn() -> In) -> Vec<Parameter> {
        vec![parameter("client_id", "Of this client alone.", text())]
    }
}

impl IntoParams for OfTarget {
    fn into_params(_: impl Fn() -> In) -> Vec<Parameter> {
        vec![parameter("target", "Of this target alone: its URL as it was measured.", text())]
    }
}

impl<const LONGEST_MS: i64> IntoParams for Within<LONGEST_MS> {
    fn into_params(_: impl Fn() -> In) -> Vec<Parameter> {
        let days = LONGEST_MS / DAY_MS;
        let from = format!(
            "From this moment on: milliseconds since the Unix epoch, or RFC 3339. Before `to`, by at \
             most {days} days. By default an hour before now, or before `to` where that is earlier."
        );
        let to = "Before this moment, in the same forms. By default six minutes from now: clocks of \
                  senders may be ahead.";
        vec![parameter("from", from, moment()), parameter("to", to, moment())]
    }
}

impl<const DEFAULT: usize, const MOST: usize> IntoParams for AtMost<DEFAULT, MOST> {
    fn into_params(_: impl Fn() -> In) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MOST))
            .default(Some(DEFAULT.into()));
        let says = "At most so many rows; `truncated` says whether there were more.";
        vec![parameter("limit", says, schema)]
    }
}

impl IntoParams for Scored {
    fn into_params(_: impl Fn() -> In) -> Vec<Parameter> {
        let profile = one_of(Profile::ALL.map(|profile| profile.name)).default(Some("web".into()));
        let group_by = one_of(GroupBy::NAMED.map(|(name, _)| name)).default(Some("cell".into()));
        let by = "What becomes a row: each client and target (`cell`), each client, each target, or \
                  everything together.";
        vec![
            parameter("profile", "The use that the line is judged for (docs/scores.md).", profile),
            parameter("group_by", by, group_by),
        ]
    }
}

impl IntoParams for Which {
    fn into_params(_: impl Fn() -> In) -> Vec<Parameter> {
        let open = ObjectBuilder::new().schema_type(Type::Boolean);
        vec![
            parameter("id", "The one of this id alone, if it reaches into the stretch.", id()),
            parameter("open", "Those that go on (`true`), or those that have ended.", open),
        ]
    }
}

impl IntoParams for Id {
    fn into_params(_: impl Fn() -> In) -> Vec<Parameter> {
        let mut id = parameter("id", "As the list and alerts give it.", id());
        (id.parameter_in, id.required) = (ParameterIn::Path, Required::True);
        vec![id]
    }
}

fn parameter(name: &str, says: impl Into<String>, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(says))
        .schema(Some(schema))
        .build()
}

fn text() -> ObjectBuilder {
    let printable = r"^[^\x00-\x1f\x7f-\x9f]+$";
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).pattern(Some(printable))
}

fn id() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9a-f]{14}$"))
}

fn one_of<const N: usize>(names: [&'static str; N]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names))
}

fn moment() -> OneOfBuilder {
    let known = |format| Some(SchemaFormat::KnownFormat(format));
    let ms = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(known(KnownFormat::Int64))
        .minimum(Some(0))
        .maximum(Some(LAST_MS));
    let written =
        ObjectBuilder::new().schema_type(Type::String).format(known(KnownFormat::DateTime));
    OneOfBuilder::new().item(ms).item(written)
}
