//! The flat columns of a window, described in the loops in which they are written.

use std::borrow::Cow;

use model::{ErrorStage, Metric};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::store::MetricPercentiles;

/// Counts, as `store` writes them into a row.
pub(crate) struct CountColumns;

impl PartialSchema for CountColumns {
    fn schema() -> RefOr<Schema> {
        let of_all = [
            ("count_total", "Measurements that count."),
            ("count_success", "Those without an error."),
            ("count_error", "Those with one: the sum of `errors_*`."),
            (
                "count_troubled",
                "Set aside, because the probe itself was in trouble. Not in the total.",
            ),
        ]
        .map(|(name, says)| (name.to_owned(), says.to_owned()));
        let by_stage = ErrorStage::ALL
            .map(|stage| (format!("errors_{stage}"), format!("Those that failed at `{stage}`.")));
        of_all
            .into_iter()
            .chain(by_stage)
            .fold(ObjectBuilder::new(), |object, (name, says)| {
                object.property(&name, count(says)).required(name)
            })
            .into()
    }
}

impl ToSchema for CountColumns {
    fn name() -> Cow<'static, str> {
        "Counts".into()
    }
}

impl PartialSchema for MetricPercentiles {
    fn schema() -> RefOr<Schema> {
        let mut object = ObjectBuilder::new();
        for (metric, share, unit) in Self::columns() {
            let of =
                if metric == Metric::Throughput { "kilobits a second" } else { "milliseconds" };
            let says = format!("The {share} of `{metric}`, {of}; `null` where none was measured.");
            let name = format!("{metric}_{share}_{unit}");
            object = object.property(&name, amount(says)).required(name);
        }
        object.into()
    }
}

impl ToSchema for MetricPercentiles {
    fn name() -> Cow<'static, str> {
        "Percentiles".into()
    }
}

fn count(says: String) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0))
        .description(Some(says))
}

fn amount(says: String) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Number, Type::Null]))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
        .minimum(Some(0))
        .description(Some(says))
}
