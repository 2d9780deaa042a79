//! Windows of any table, one after another.

use model::window::Window;

use super::Reader;
use super::connection::Value;
use super::time::Time;
use crate::store::StoreError;
use crate::store::cohorts::{CohortQuery, Grain, Kept, Left};
use crate::store::windows::unreadable_window;

macro_rules! select {
    ($table:literal) => {
        concat!(
            "SELECT client_id, target, window_start_ts, sketches FROM ",
            $table,
            " WHERE window_start_ts >= $1 AND window_start_ts < $2
                AND ($3::text IS NULL OR client_id = $3) AND ($4::text IS NULL OR target = $4)
              ORDER BY client_id, target, window_start_ts"
        )
    };
}

impl Reader {
    /// Hands on each window, by client, target and time.
    pub(crate) fn each_window(
        &self,
        query: &CohortQuery,
        each: &mut dyn FnMut(Kept<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let select = match query.grain {
            Grain::Minute => select!("agg_1m"),
            Grain::Hour => select!("agg_1h"),
            Grain::Day => select!("agg_1d"),
        };
        let (from, to) = (Time(query.span.from_ms), Time(query.span.to_ms));
        let values: [Value<'_>; 4] = [&from, &to, &query.client_id, &query.target];
        let mut left = Left::of(query);
        self.each_row(select, &values, "read windows", &mut |row| {
            left.take()?;
            let (client_id, target): (&str, &str) = (row.get(0), row.get(1));
            let Time(start_ms) = row.get(2);
            let window = Window::decode(row.get(3))
                .map_err(|error| unreadable_window(client_id, target, &error))?;
            each(Kept { client_id, target, start_ms, window })
        })
    }
}
