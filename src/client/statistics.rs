//! Statistics.

use super::Client;
use crate::{
    error::{DecodeError, Error},
    model::{CpuStatistics, ExpectationStatistics, TableStatistics},
    request::{DumpCpuStatistics, DumpExpectationStatistics, GetGlobalStatistics, Request},
    wire::Message,
};

impl Client {
    /// How many flows there are, and how many there may be.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails.
    pub fn statistics(&mut self) -> Result<TableStatistics, Error> {
        Ok(self.connection.fetch(&GetGlobalStatistics, TableStatistics::decode)?.unwrap_or_default())
    }

    /// What each processor did with packets.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails.
    pub fn cpu_statistics(&mut self) -> Result<Vec<CpuStatistics>, Error> {
        self.collect(&DumpCpuStatistics, CpuStatistics::decode)
    }

    /// What each processor did with expectations.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails.
    pub fn expectation_statistics(&mut self) -> Result<Vec<ExpectationStatistics>, Error> {
        // The answers carry the type of another message of the other subsystem: they are told by their sequence number.
        self.collect(&DumpExpectationStatistics, ExpectationStatistics::decode)
    }

    fn collect<R>(
        &mut self,
        request: &impl Request,
        decode: impl Fn(&Message<'_>) -> Result<R, DecodeError>,
    ) -> Result<Vec<R>, Error> {
        let mut replies = self.connection.start(request)?;
        let mut collected = Vec::new();
        while let Some(message) = replies.next(&mut self.connection)? {
            collected.push(decode(&message)?);
        }
        Ok(collected)
    }
}
