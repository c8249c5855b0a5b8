//! A flow to print and encode.

use ctnetlink::{Counters, Flow, FlowTimes, Labels, ProtocolInfo, Status, TcpInfo, TcpState, Timestamp, Tuple};

/// Returns a TCP flow with the attributes of a dump with accounting and timestamps.
pub(crate) fn flow(source: &str, destination: &str) -> Flow {
    let original = Tuple::tcp(source.parse().unwrap(), destination.parse().unwrap());
    let mut flow = Flow::new(original, original.inverted().unwrap());
    flow.status = Some(Status::SEEN_REPLY | Status::ASSURED | Status::CONFIRMED);
    flow.timeout = Some(431_999);
    flow.mark = Some(42);
    flow.protocol_info = Some(ProtocolInfo::Tcp(TcpInfo::new(TcpState::ESTABLISHED)));
    flow.counters_original = Some(Counters::new(169, 14_322));
    flow.counters_reply = Some(Counters::new(113, 3_478_700_123));
    flow.times = Some(FlowTimes::new(Timestamp(1_795_400_621_401_066_000), None));
    flow.labels = Some(Labels(8));
    flow.id = Some(3_660_837_757);
    flow.use_count = Some(1);
    flow
}
