//! Many rows, a few thousand at a time.

use tokio_postgres::Row;

use super::Reader;
use super::connection::Values;
use super::reader::{FETCHED, Moment};
use crate::store::StoreError;

impl Reader {
    /// Hands each row of a question on, as of one moment.
    pub(super) fn each_row(
        &self,
        select: &'static str,
        values: &Values<'_>,
        doing: &'static str,
        each: &mut dyn FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let failed = || StoreError::postgres(doing);
        let mut conn = self.conn.borrow_mut();
        let statement = conn.prepare(select).map_err(failed())?;
        let moment = Moment::of(&mut conn).map_err(failed())?;
        let portal = moment.wait(moment.tx.bind(&statement, values)).map_err(failed())?;
        loop {
            let rows = moment.wait(moment.tx.query_portal(&portal, FETCHED)).map_err(failed())?;
            let last = rows.len() < FETCHED.unsigned_abs() as usize;
            rows.into_iter().try_for_each(&mut *each)?;
            if last {
                return Ok(());
            }
        }
    }
}
