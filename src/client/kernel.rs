//! Questions about the kernel: its statistics, and the filters that it supports.

use super::Client;
use crate::{
    error::{DecodeError, Errno, Error, Operation},
    exchange::{Connection, Transport, complete},
    filter::Capabilities,
    model::{CpuStatistics, ExpectationStatistics, Protocol, TableStatistics, Tuple},
    request::{
        DumpCpuStatistics, DumpExpectationStatistics, EncodeRequest, GetTableStatistics, Request, RequestHeader,
    },
    wire::{
        CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_MARK_MASK, CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_ORIG, CTA_ZONE,
        Encoder, Family, Flags, MessageType, RawMessage,
    },
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

impl Client {
    /// Returns the filters that this kernel supports. Probed on first use, with requests that change nothing.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN, or if the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::Filter;
    ///
    /// let filter: Filter = "proto tcp and dport 22".parse()?;
    /// println!("{}", filter.plan(&client.capabilities()?)); // what the kernel does, and what this process does
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn capabilities(&mut self) -> Result<Capabilities, Error> {
        complete(self.capabilities_for(Operation::ProbeFilters))
    }

    /// Probes on behalf of an operation.
    pub(crate) async fn capabilities_for(&mut self, operation: Operation) -> Result<Capabilities, Error> {
        if let Some(known) = self.capabilities {
            return Ok(known);
        }
        let known = probe(&mut self.connection, operation).await?;
        self.capabilities = Some(known);
        Ok(known)
    }
}

/// A filter flag that no kernel has. A kernel that reads filters refuses it.
const UNKNOWN_FLAG: u32 = 1 << 31;

/// A request that a kernel refuses if it understands the contents, and that is harmless to any other kernel. The first
/// is an exception.
#[derive(Clone, Copy)]
enum Probe {
    /// The size of the table, which every kernel with connection tracking reports.
    /// On behalf of an operation, which the error names if permission is missing.
    Tracking(Operation),
    /// A dump with a filter that has an unknown flag.
    TuplesOfDump,
    /// A dump with a status filter without a mask.
    Status,
    /// A dump with a mask of the mark but no mark, beside another filter.
    Mark,
    /// A delete with a filter that has an unknown flag, of a tuple that no packet has. A kernel that does not know the
    /// filter looks for a flow of that tuple.
    TuplesOfFlush,
    /// A dump of a zone. Its entries have the flag that they were filtered.
    Zone,
}

impl Probe {
    /// Kernels refuse an unknown flag as not supported, or as invalid since the spring of 2026. Either answer shows
    /// that the filter was read.
    const fn is_of_tuples(self) -> bool {
        matches!(self, Self::TuplesOfDump | Self::TuplesOfFlush)
    }
}

impl EncodeRequest for Probe {
    fn operation(&self) -> Operation {
        match *self {
            Self::Tracking(operation) => operation,
            _ => Operation::ProbeFilters,
        }
    }

    fn header(&self) -> RequestHeader {
        match self {
            Self::Tracking(_) => RequestHeader::acknowledged(MessageType::TABLE_STATISTICS, Family::UNSPEC),
            Self::TuplesOfFlush => RequestHeader::acknowledged(MessageType::FLOW_DELETE, Family::IPV4),
            _ => RequestHeader::dump(MessageType::FLOW_GET, Family::UNSPEC),
        }
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        let unknown_filter = |encoder: &mut Encoder<'_>| {
            encoder.nest(CTA_FILTER, |nest| nest.u32_host(CTA_FILTER_ORIG_FLAGS, UNKNOWN_FLAG))
        };
        match self {
            Self::Tracking(_) => {}
            Self::TuplesOfDump => unknown_filter(encoder),
            Self::Status => encoder.u32(CTA_STATUS, 0),
            Self::Mark => {
                encoder.u32(CTA_STATUS, 1);
                encoder.u32(CTA_STATUS_MASK, 1);
                encoder.u32(CTA_MARK_MASK, 1);
            }
            Self::TuplesOfFlush => {
                let nowhere = Tuple { protocol: Protocol(255), ..Tuple::UNSPECIFIED };
                encoder.nested(CTA_TUPLE_ORIG, &nowhere);
                unknown_filter(encoder);
            }
            Self::Zone => encoder.u16(CTA_ZONE, 0),
        }
    }
}

pub(super) async fn probe<T: Transport>(
    connection: &mut Connection<T>,
    operation: Operation,
) -> Result<Capabilities, Error> {
    // Without ctnetlink every request is refused as invalid, which the probes would mistake for support.
    connection.execute(&Probe::Tracking(operation)).await?;
    let mut known = Capabilities::none();
    known.dump_tuple_filter = is_refused(connection, Probe::TuplesOfDump).await?;
    known.status_filter = is_refused(connection, Probe::Status).await?;
    known.mark_filter = known.status_filter && is_refused(connection, Probe::Mark).await?;
    known.flush_tuple_filter = is_refused(connection, Probe::TuplesOfFlush).await?;
    // Filtered flushes came last: a kernel that supports them supports zones too.
    known.zone_filter = known.flush_tuple_filter || is_filtered(connection, Probe::Zone).await?;
    known.flush_family = known.dump_tuple_filter;
    Ok(known)
}

/// Returns true if the kernel understood the request and refused it.
async fn is_refused<T: Transport>(connection: &mut Connection<T>, probe: Probe) -> Result<bool, Error> {
    // If a dump starts instead, one message is enough: the connection aborts the rest.
    match connection.start(&probe).await?.next(connection).await.map(drop) {
        Ok(()) => Ok(false),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) if error.errno() == Some(Errno::EINVAL) => Ok(true),
        Err(error) if error.is_unsupported() => Ok(probe.is_of_tuples()),
        Err(error) => Err(error),
    }
}

/// Returns true if the first entry has the flag that it was filtered. An empty table counts as a no.
async fn is_filtered<T: Transport>(connection: &mut Connection<T>, probe: Probe) -> Result<bool, Error> {
    match connection.start(&probe).await?.next(connection).await {
        Ok(entry) => Ok(entry.is_some_and(|message| message.header().flags.contains(Flags::DUMP_FILTERED))),
        Err(error) if error.is_unsupported() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::script::{Script, ScriptStep, acknowledgement, entry};

    fn probed(answers: impl IntoIterator<Item = Vec<u8>>) -> Capabilities {
        let steps = answers.into_iter().map(|answer| ScriptStep::Datagram(answer, 0)).collect();
        let mut connection = Connection::new(Script { steps, ..Script::default() }, None);
        complete(probe(&mut connection, Operation::ProbeFilters)).unwrap()
    }

    const OK: Errno = Errno(0);

    #[test]
    fn a_kernel_that_does_not_support_an_unknown_flag_filters_by_tuples() {
        for refusal in [Errno::EINVAL, Errno::EOPNOTSUPP] {
            let answers = [OK, refusal, Errno::EINVAL, Errno::EINVAL, refusal];
            let found = probed((1..).zip(answers).map(|(sequence, errno)| acknowledgement(sequence, errno)));
            assert_eq!(found, Capabilities::linux(6, 18), "{refusal}");
        }
    }

    #[test]
    fn a_kernel_without_marks_does_not_filter_by_them() {
        let answers = [OK, Errno::EOPNOTSUPP, Errno::EINVAL, Errno::EOPNOTSUPP, Errno::EOPNOTSUPP];
        let found = probed((1..).zip(answers).map(|(sequence, errno)| acknowledgement(sequence, errno)));
        assert_eq!(found, Capabilities { mark_filter: false, ..Capabilities::linux(6, 18) });
    }

    #[test]
    fn a_kernel_that_passes_over_what_it_does_not_know_filters_by_nothing() {
        let found =
            probed([acknowledgement(1, OK), entry(2, 1), entry(3, 1), acknowledgement(4, Errno::ENOENT), entry(5, 1)]);
        assert_eq!(found, Capabilities::none());
    }
}
