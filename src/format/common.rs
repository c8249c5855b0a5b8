//! Shared by the printers: options, the sender of an event, and the numbers and names that conntrack(8) shows.

use super::label_map::LabelMap;
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

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: u32,
    /// 1 to 12.
    pub(super) month: u32,
    /// 1 to 31.
    pub(super) day: u32,
    /// 0 is Sunday.
    pub(super) weekday: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

impl Date {
    const SECONDS_OF_A_DAY: i64 = 86_400;
    /// The days in 400 years, after which the calendar repeats.
    const DAYS_OF_AN_ERA: i64 = 146_097;
    /// The days from 1 March of the year 0 to 1 January 1970.
    const DAYS_BEFORE_1970: i64 = 719_468;

    /// The date in a time zone that is `utc_offset_seconds` east of UTC.
    pub(super) fn at(time: Timestamp, utc_offset_seconds: i32) -> Self {
        // No overflow: the last timestamp is in the year 2554.
        let seconds = time.seconds() as i64 + i64::from(utc_offset_seconds);
        let (days, second) = (seconds.div_euclid(Self::SECONDS_OF_A_DAY), seconds.rem_euclid(Self::SECONDS_OF_A_DAY));
        let (year, month, day) = Self::civil(days);
        Self {
            year,
            month,
            day,
            // 1 January 1970 was a Thursday.
            weekday: (days + 4).rem_euclid(7) as u32,
            hour: (second / 3600) as u32,
            minute: (second / 60 % 60) as u32,
            second: (second % 60) as u32,
        }
    }

    /// Year, month and day. Counting years from March makes the leap day the last day of a year.
    fn civil(days: i64) -> (u32, u32, u32) {
        let days = days + Self::DAYS_BEFORE_1970;
        let (era, day) = (days.div_euclid(Self::DAYS_OF_AN_ERA), days.rem_euclid(Self::DAYS_OF_AN_ERA));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // March to July have 153 days, and so have August to December.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
        ((era * 400 + year) as u32, month as u32, day as u32)
    }

    pub(super) fn weekday_name(self) -> &'static str {
        ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].get(self.weekday as usize).copied().unwrap_or_default()
    }

    pub(super) fn month_name(self) -> &'static str {
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            .get((self.month as usize).saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_four_centuries_are_consecutive() {
        let mut expected = (1970, 1, 1);
        for day in 0..Date::DAYS_OF_AN_ERA {
            let date = Date::at(Timestamp(day as u64 * 86_400_000_000_000), 0);
            assert_eq!((date.year, date.month, date.day), expected);
            assert_eq!(i64::from(date.weekday), (day + 4) % 7);
            expected = next_day(expected);
        }
    }

    fn next_day((year, month, day): (u32, u32, u32)) -> (u32, u32, u32) {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        match (month, day) {
            (12, 31) => (year + 1, 1, 1),
            (_, day) if day == last => (year, month + 1, 1),
            _ => (year, month, day + 1),
        }
    }

    #[test]
    fn offsets_reach_before_1970() {
        let date = Date::at(Timestamp(0), -3600);
        assert_eq!((date.year, date.month, date.day, date.hour), (1969, 12, 31, 23));
        assert_eq!(date.weekday_name(), "Wed");
    }

    #[test]
    fn the_last_timestamp_has_a_date() {
        assert_eq!(Date::at(Timestamp(u64::MAX), i32::MAX).year, 2622);
    }
}
