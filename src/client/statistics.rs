//! Statistics.

use super::Client;
use crate::{
    error::{DecodeError, Error},
    exchange::complete,
    model::{CpuStatistics, ExpectationStatistics, TableStatistics},
    request::{DumpCpuStatistics, DumpExpectationStatistics, GetTableStatistics, Request},
    wire::RawMessage,
};

impl Client {
    /// Returns the number of flows and the most that there may be.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// let statistics = client.statistics()?;
    /// println!("{:?} of {:?} flows", statistics.entries, statistics.max_entries);
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn statistics(&mut self) -> Result<TableStatistics, Error> {
        complete(self.statistics_async())
    }

    pub(crate) async fn statistics_async(&mut self) -> Result<TableStatistics, Error> {
        Ok(self.connection.fetch(&GetTableStatistics, TableStatistics::decode).await?.unwrap_or_default())
    }

    /// Returns the packet counts of each processor.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// for cpu in client.cpu_statistics()? {
    ///     println!("processor {}: {:?} packets dropped", cpu.cpu, cpu.drop);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn cpu_statistics(&mut self) -> Result<Vec<CpuStatistics>, Error> {
        complete(self.cpu_statistics_async())
    }

    pub(crate) async fn cpu_statistics_async(&mut self) -> Result<Vec<CpuStatistics>, Error> {
        self.collect(&DumpCpuStatistics, CpuStatistics::decode).await
    }

    /// Returns the expectation counts of each processor.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// for cpu in client.expectation_statistics()? {
    ///     println!("processor {}: {:?} expectations created", cpu.cpu, cpu.create);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn expectation_statistics(&mut self) -> Result<Vec<ExpectationStatistics>, Error> {
        complete(self.expectation_statistics_async())
    }

    pub(crate) async fn expectation_statistics_async(&mut self) -> Result<Vec<ExpectationStatistics>, Error> {
        // The answers have the type of a message of the other subsystem; the sequence number identifies them.
        self.collect(&DumpExpectationStatistics, ExpectationStatistics::decode).await
    }

    async fn collect<R>(
        &mut self,
        request: &impl Request,
        decode: impl Fn(&RawMessage<'_>) -> Result<R, DecodeError>,
    ) -> Result<Vec<R>, Error> {
        let mut replies = self.connection.start(request).await?;
        let mut collected = Vec::new();
        while let Some(message) = replies.next(&mut self.connection).await? {
            collected.push(decode(&message)?);
        }
        Ok(collected)
    }
}
