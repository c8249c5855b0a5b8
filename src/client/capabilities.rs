//! What the running kernel understands, found out without a side effect.

use super::Client;
use crate::{
    error::{Errno, Error, Operation},
    exchange::{Connection, Transport},
    filter::Capabilities,
    model::{Protocol, Tuple},
    request::{EncodeRequest, RequestHeader},
    wire::{
        CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_MARK_MASK, CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_ORIG, CTA_ZONE,
        Encoder, Family, Flags, MessageType,
    },
};

/// A filter flag that no kernel has: whoever looks at it refuses.
const UNKNOWN_FLAG: u32 = 1 << 31;

/// A request that is refused by a kernel which understands what it carries, and harmless to any other; but for the
/// first.
#[derive(Clone, Copy)]
enum Probe {
    /// The size of the table, which every kernel with connection tracking tells.
    Tracking,
    /// A dump by a filter of an unknown flag.
    TuplesOfDump,
    /// A dump by no status bit at all.
    Status,
    /// A dump by a mask of the mark without a mark, beside another filter.
    Mark,
    /// A delete, by a filter of an unknown flag, of a tuple that no packet has: a kernel that does not know the filter
    /// looks for that very tuple.
    TuplesOfFlush,
    /// A dump of a zone, whose entries say that they were filtered.
    Zone,
}

impl Probe {
    /// Of a flag that it does not know a kernel says that it is not supported, since the spring of 2026 that it is
    /// invalid. Either shows that the filter was read.
    const fn is_of_tuples(self) -> bool {
        matches!(self, Self::TuplesOfDump | Self::TuplesOfFlush)
    }
}

impl EncodeRequest for Probe {
    fn operation(&self) -> Operation {
        Operation::ProbeFilters
    }

    fn header(&self) -> RequestHeader {
        match self {
            Self::Tracking => RequestHeader::acknowledged(MessageType::TABLE_STATISTICS, Family::UNSPEC),
            Self::TuplesOfFlush => RequestHeader::acknowledged(MessageType::FLOW_DELETE, Family::IPV4),
            _ => RequestHeader::dump(MessageType::FLOW_GET, Family::UNSPEC),
        }
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        let unknown_filter = |encoder: &mut Encoder<'_>| {
            encoder.nest(CTA_FILTER, |nest| nest.u32_host(CTA_FILTER_ORIG_FLAGS, UNKNOWN_FLAG))
        };
        match self {
            Self::Tracking => {}
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

impl Client {
    /// What filters this kernel understands. It is asked the first time, by requests that change nothing.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses for want of permission, or the socket fails.
    pub fn capabilities(&mut self) -> Result<Capabilities, Error> {
        if let Some(known) = self.capabilities {
            return Ok(known);
        }
        let known = probe(&mut self.connection)?;
        self.capabilities = Some(known);
        Ok(known)
    }
}

fn probe<T: Transport>(connection: &mut Connection<T>) -> Result<Capabilities, Error> {
    // Without connection tracking for netlink every request is refused as invalid, which the probes take for a yes.
    connection.execute(&Probe::Tracking)?;
    let mut known = Capabilities::none();
    known.dump_tuple_filter = is_refused(connection, Probe::TuplesOfDump)?;
    known.status_filter = is_refused(connection, Probe::Status)?;
    known.mark_filter = known.status_filter && is_refused(connection, Probe::Mark)?;
    known.flush_tuple_filter = is_refused(connection, Probe::TuplesOfFlush)?;
    // Flushing by tuples came last: a kernel that can do it can do these too.
    known.zone_filter = known.flush_tuple_filter || is_filtered(connection, Probe::Zone)?;
    known.flush_family = known.dump_tuple_filter;
    Ok(known)
}

/// Whether the kernel refuses what the request asks for, having understood it.
fn is_refused<T: Transport>(connection: &mut Connection<T>, probe: Probe) -> Result<bool, Error> {
    // Where a dump begins instead, one message is enough: the connection knows how to give it up.
    match connection.start(&probe)?.next(connection).map(drop) {
        Ok(()) => Ok(false),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) if error.errno() == Some(Errno::EINVAL) => Ok(true),
        Err(error) if error.is_unsupported() => Ok(probe.is_of_tuples()),
        Err(error) => Err(error),
    }
}

/// Whether the first entry says that it was filtered. An empty table tells nothing, and is taken for a no.
fn is_filtered<T: Transport>(connection: &mut Connection<T>, probe: Probe) -> Result<bool, Error> {
    match connection.start(&probe)?.next(connection) {
        Ok(entry) => Ok(entry.is_some_and(|message| message.header().flags.contains(Flags::DUMP_FILTERED))),
        Err(error) if error.is_unsupported() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::script::{Script, Step, acknowledgement, entry};

    fn probed(answers: impl IntoIterator<Item = Vec<u8>>) -> Capabilities {
        let steps = answers.into_iter().map(|answer| Step::Datagram(answer, 0)).collect();
        let mut connection = Connection::new(Script { steps, ..Script::default() }, None);
        probe(&mut connection).unwrap()
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
