//! Shared by the printers: options, the sender of an event, and the numbers and names that conntrack(8) shows.

use super::LabelMap;
use crate::{EventKind, GreKeys, Layer4, Protocol, ProtocolInfo, Timestamp, Tuple};

/// The process whose request caused an event, printed at the end of the event's line.
///
/// # Example
///
/// ```
/// use ctnetlink::{EventKind, Flow, Tuple, format::{Sender, Text}};
///
/// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// # let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// let sender = Sender { port_id: 4711, program: Some("conntrack") };
/// let line = Text::new().event(EventKind::Destroy).sender(sender).flow(&flow).to_string();
/// assert!(line.ends_with("[USERSPACE] portid=4711 progname=conntrack"), "{line}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "these two are all that conntrack(8) shows")]
pub struct Sender<'a> {
    /// The port of its netlink socket (`nlmsg_pid`). Port 0 is the kernel itself, which conntrack(8) does not show.
    pub port_id: u32,
    /// The name of its program, if the caller knows it.
    pub program: Option<&'a str>,
}

/// The options of both [`Text`](super::Text) and [`Xml`](super::Xml).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PrintOptions<'a> {
    pub(super) kernel_timestamps: bool,
    pub(super) utc_offset_seconds: i32,
    pub(super) event: Option<EventKind>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) now: Option<Timestamp>,
    pub(super) labels: Option<&'a LabelMap>,
}

impl PrintOptions<'_> {
    pub(super) const fn new() -> Self {
        Self { kernel_timestamps: false, utc_offset_seconds: 0, event: None, timestamp: None, now: None, labels: None }
    }

    /// The caller's present, or the clock's.
    pub(super) fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }
}

/// Declares the setters of [`PrintOptions`] for a printer with a field `options`.
macro_rules! print_options {
    ($printer:ident) => {
        impl<'a> $printer<'a> {
            /// Sets whether flows show when they began and ended (`-o ktimestamp`).
            #[must_use]
            pub const fn kernel_timestamps(mut self, kernel_timestamps: bool) -> Self {
                self.options.kernel_timestamps = kernel_timestamps;
                self
            }

            /// Sets the time zone of dates, in seconds east of UTC. The default is UTC; conntrack(8) prints local time.
            #[must_use]
            pub const fn utc_offset_seconds(mut self, utc_offset_seconds: i32) -> Self {
                self.options.utc_offset_seconds = utc_offset_seconds;
                self
            }

            /// Prints an event of this kind (`-E`).
            #[must_use]
            pub const fn event(mut self, event: EventKind) -> Self {
                self.options.event = Some(event);
                self
            }

            /// Sets when the printed event arrived (`-E -o timestamp`).
            #[must_use]
            pub const fn timestamp(mut self, timestamp: Timestamp) -> Self {
                self.options.timestamp = Some(timestamp);
                self
            }

            /// Sets the present, from which the age of a flow is computed. By default each flow reads the clock.
            #[must_use]
            pub const fn now(mut self, now: Timestamp) -> Self {
                self.options.now = Some(now);
                self
            }

            /// Prints labels (`-o labels`), by the names in `labels`. Labels without a name are skipped.
            #[must_use]
            pub const fn labels(mut self, labels: &'a LabelMap) -> Self {
                self.options.labels = Some(labels);
                self
            }
        }
    };
}
pub(super) use print_options;

/// The numbers shown of a tuple. As in conntrack(8), the protocol decides which.
#[derive(Clone, Copy)]
pub(super) enum ShownNumbers {
    Ports { source: u16, destination: u16 },
    Keys { source: u16, destination: u16 },
    Query { icmp_type: u8, code: u8, id: u16 },
    None,
}

impl ShownNumbers {
    /// Numbers that the tuple lacks are shown as zero, for example the ports of DCCP on a kernel without its tracker.
    #[inline]
    pub(super) const fn of(tuple: &Tuple) -> Self {
        let (source, destination) = match tuple.layer4 {
            Layer4::Ports { source, destination } | Layer4::Gre(GreKeys { source, destination }) => {
                (source, destination)
            }
            Layer4::Icmp { .. } | Layer4::None => (0, 0),
        };
        match tuple.protocol {
            Protocol::GRE => Self::Keys { source, destination },
            protocol if protocol.has_ports() => Self::Ports { source, destination },
            protocol if protocol.is_icmp() => match tuple.layer4 {
                Layer4::Icmp { icmp_type, code, id } => Self::Query { icmp_type, code, id },
                _ => Self::Query { icmp_type: 0, code: 0, id: 0 },
            },
            _ => Self::None,
        }
    }
}

/// The name of the state, `NONE` for a state that conntrack 1.4.7 has no name for, or `None` for an unknown state.
#[inline]
pub(super) fn state_name(info: &ProtocolInfo) -> Option<&'static str> {
    /// The last state in conntrack's table of each of the three protocols.
    const LAST: u8 = 9;
    let (number, name) = match info {
        ProtocolInfo::Tcp(info) => info.state.map(|state| (state.0, state.name()))?,
        ProtocolInfo::Sctp(info) => info.state.map(|state| (state.0, state.name()))?,
        ProtocolInfo::Dccp(info) => info.state.map(|state| (state.0, state.name()))?,
        ProtocolInfo::Unknown => return None,
    };
    Some(name.filter(|_| number <= LAST).unwrap_or("NONE"))
}
