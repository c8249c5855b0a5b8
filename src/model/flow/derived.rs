//! What follows from the attributes of a flow.

use core::time::Duration;

use super::{Flow, FlowRef};
use crate::model::{
    Counters, DccpState, Endpoint, Lifetime, ProtocolInfo, SctpState, Status, TcpState, Timestamp, Tuple, nat,
};

/// What it follows from.
trait Attributes {
    fn tuples(&self) -> [Tuple; 2];
    fn status(&self) -> Option<Status>;
    fn counters(&self) -> [Option<Counters>; 2];
    fn lifetime(&self) -> Option<Lifetime>;
    fn protocol_info(&self) -> Option<ProtocolInfo>;
}

impl Attributes for Flow {
    fn tuples(&self) -> [Tuple; 2] {
        [self.original, self.reply]
    }

    fn status(&self) -> Option<Status> {
        self.status
    }

    fn counters(&self) -> [Option<Counters>; 2] {
        [self.counters_original, self.counters_reply]
    }

    fn lifetime(&self) -> Option<Lifetime> {
        self.lifetime
    }

    fn protocol_info(&self) -> Option<ProtocolInfo> {
        self.protocol_info
    }
}

impl Attributes for FlowRef<'_> {
    fn tuples(&self) -> [Tuple; 2] {
        [self.original().to_tuple(), self.reply().to_tuple()]
    }

    fn status(&self) -> Option<Status> {
        Self::status(self)
    }

    fn counters(&self) -> [Option<Counters>; 2] {
        [self.counters_original(), self.counters_reply()]
    }

    fn lifetime(&self) -> Option<Lifetime> {
        Self::lifetime(self)
    }

    fn protocol_info(&self) -> Option<ProtocolInfo> {
        Self::protocol_info(self)
    }
}

/// Of a value and of a view alike.
macro_rules! derived {
    ($($flow:ty),+) => { $(
        impl $flow {
            /// Where the source appears to be after translation: the end that answers are sent to. `None` where it is not
            /// translated.
            ///
            /// Told from the tuples, so that it is right for flows made by hand, whose status bits say nothing, and for ICMP,
            /// whose types differ by nature.
            #[must_use]
            pub fn source_translation(&self) -> Option<Endpoint> {
                let [original, reply] = self.tuples();
                nat::source_translation(&original, &reply)
            }

            /// Where packets go after translation: the end that answers. `None` where it is not translated.
            #[must_use]
            pub fn destination_translation(&self) -> Option<Endpoint> {
                let [original, reply] = self.tuples();
                nat::destination_translation(&original, &reply)
            }

            /// Whether the source is translated (address, port, or the identifier of an ICMP query).
            #[must_use]
            pub fn is_source_nat(&self) -> bool {
                self.source_translation().is_some()
            }

            /// Whether the destination is translated (address or port).
            #[must_use]
            pub fn is_destination_nat(&self) -> bool {
                self.destination_translation().is_some()
            }

            /// Whether packets were seen in both directions. `None` where the status is not known.
            #[must_use]
            pub fn has_seen_reply(&self) -> Option<bool> {
                Attributes::status(self).map(|status| status.contains(Status::SEEN_REPLY))
            }

            /// Whether the flow is kept when the table is full. `None` where the status is not known.
            #[must_use]
            pub fn is_assured(&self) -> Option<bool> {
                Attributes::status(self).map(|status| status.contains(Status::ASSURED))
            }

            /// Whether a flow table or hardware carries the flow past the tracker. `None` where the status is not known.
            #[must_use]
            pub fn is_offloaded(&self) -> Option<bool> {
                Attributes::status(self).map(|status| status.intersects(Status::OFFLOAD | Status::HW_OFFLOAD))
            }

            /// Packets and bytes of both directions. `None` without accounting.
            #[must_use]
            pub fn total_counters(&self) -> Option<Counters> {
                match Attributes::counters(self) {

                    [Some(original), Some(reply)] => Some(original + reply),
                    [one, None] | [None, one] => one,
                }
            }

            /// How long the flow has lived: until its end, or until `now`. `None` without timestamps.
            #[must_use]
            pub fn duration(&self, now: Timestamp) -> Option<Duration> {
                let lifetime = Attributes::lifetime(self)?;
                Some(lifetime.stop.unwrap_or(now).since(lifetime.start?))
            }

            /// The state of the TCP connection, if it is one and its state is known.
            #[must_use]
            pub fn tcp_state(&self) -> Option<TcpState> {
                Attributes::protocol_info(self)?.tcp()?.state
            }

            /// The state of the SCTP association, if it is one and its state is known.
            #[must_use]
            pub fn sctp_state(&self) -> Option<SctpState> {
                Attributes::protocol_info(self)?.sctp()?.state
            }

            /// The state of the DCCP connection, if it is one and its state is known.
            #[must_use]
            pub fn dccp_state(&self) -> Option<DccpState> {
                Attributes::protocol_info(self)?.dccp()?.state
            }
        }
    )+ };
}

derived!(Flow, FlowRef<'_>);
