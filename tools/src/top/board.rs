//! The rows of the screen.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    net::IpAddr,
    time::Duration,
};

use ctnetlink::{
    AnyFlow, Filter, FlowTable, Protocol, TcpState, Tuple,
    accounting::{Losses, Traffic, TrafficReport},
};

/// The key by which the accountant counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a flow at one moment is nothing else")]
pub struct FlowId {
    /// The original tuple.
    pub original: Tuple,
    /// The zone, 0 without.
    pub zone: u16,
}

/// Returns the key of a flow.
pub fn flow_id(flow: &dyn AnyFlow) -> FlowId {
    FlowId { original: flow.original(), zone: flow.zone().unwrap_or(0) }
}

/// The meaning of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the program chooses them")]
pub enum GroupBy {
    /// A source address of initiators.
    #[default]
    Source,
    /// A destination address.
    Destination,
    /// A protocol and its destination port.
    Service,
    /// A single flow.
    Flow,
}

impl GroupBy {
    /// All of them, in the order of the screen.
    pub const ALL: [Self; 4] = [Self::Source, Self::Destination, Self::Service, Self::Flow];

    /// Returns the title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Source => "sources",
            Self::Destination => "destinations",
            Self::Service => "services",
            Self::Flow => "flows",
        }
    }
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the program chooses them")]
pub enum SortBy {
    /// Bytes per second in both directions.
    #[default]
    Bytes,
    /// Packets per second in both directions.
    Packets,
    /// The number of flows.
    Flows,
}

impl SortBy {
    /// Returns the next order.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Bytes => Self::Packets,
            Self::Packets => Self::Flows,
            Self::Flows => Self::Bytes,
        }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Flows => "flows",
        }
    }
}

/// Flows with something in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Group {
    Address(IpAddr),
    Service(Protocol, Option<u16>),
    Flow(FlowId),
}

impl Group {
    fn of(flow: FlowId, by: GroupBy) -> Self {
        let tuple = flow.original;
        match by {
            GroupBy::Source => Self::Address(tuple.source),
            GroupBy::Destination => Self::Address(tuple.destination),
            GroupBy::Service => Self::Service(tuple.protocol, tuple.destination_port()),
            GroupBy::Flow => Self::Flow(flow),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Service(protocol, Some(port)) => write!(f, "{protocol} {port}"),
            Self::Service(protocol, None) => write!(f, "{protocol}"),
            Self::Flow(FlowId { original, zone }) => {
                let (source, destination) = (original.source_endpoint(), original.destination_endpoint());
                write!(f, "{} {source} > {destination}", original.protocol)?;
                if *zone == 0 { Ok(()) } else { write!(f, " zone {zone}") }
            }
        }
    }
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The address, service or flow.
    pub name: String,
    /// Its flows and their traffic.
    pub load: Load,
}

/// Flows and their traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Load {
    /// The number of living flows.
    pub flows: u64,
    /// Bytes per second from the initiators.
    pub sent: f64,
    /// Bytes per second from the responders.
    pub received: f64,
    /// Packets per second in both directions.
    pub packets: f64,
    /// True if a flow is offloaded, so that its counters may stand still.
    pub offloaded: bool,
}

impl Load {
    /// Returns bytes per second in both directions.
    #[must_use]
    pub const fn bytes(&self) -> f64 {
        self.sent + self.received
    }

    fn add(&mut self, traffic: &Traffic, seconds: f64) {
        self.sent += traffic.original.bytes as f64 / seconds;
        self.received += traffic.reply.bytes as f64 / seconds;
        self.packets += traffic.total().packets as f64 / seconds;
        self.offloaded |= traffic.offloaded;
    }

    fn add_load(&mut self, load: &Self) {
        self.flows += load.flows;
        self.sent += load.sent;
        self.received += load.received;
        self.packets += load.packets;
        self.offloaded |= load.offloaded;
    }
}

/// The number of readings in the graph.
const HISTORY: usize = 240;
/// The number of rows that are kept: more than anybody scrolls through. A table can have a million flows.
const MOST_ROWS: usize = 1000;

/// Everything that is measured.
#[derive(Debug)]
pub struct Board {
    by: GroupBy,
    sort: SortBy,
    filter: Filter,
    rows: Vec<Row>,
    total: Load,
    protocols: BTreeMap<String, u64>,
    states: BTreeMap<String, u64>,
    history: VecDeque<u64>,
    report: TrafficReport<FlowId>,
    elapsed: Duration,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            by: GroupBy::default(),
            sort: SortBy::default(),
            filter: Filter::everything(),
            rows: Vec::new(),
            total: Load::default(),
            protocols: BTreeMap::new(),
            states: BTreeMap::new(),
            history: VecDeque::new(),
            report: TrafficReport::default(),
            elapsed: Duration::ZERO,
        }
    }
}

impl Board {
    /// Shows a new reading: the traffic of the flows that match the filter since the last reading, which was `elapsed` ago.
    pub fn update(&mut self, table: &FlowTable, report: TrafficReport<FlowId>, elapsed: Duration) {
        (self.report, self.elapsed) = (report, elapsed);
        self.build(table);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(self.total.bytes() as u64);
    }

    /// Shows the last reading in other groups or in another order.
    pub fn arrange(&mut self, table: &FlowTable, by: GroupBy, sort: SortBy) {
        (self.by, self.sort) = (by, sort);
        self.build(table);
    }

    /// Shows other flows. Their traffic is known after the next reading.
    pub fn choose(&mut self, table: &FlowTable, filter: Filter) {
        self.filter = filter;
        self.history.clear();
        self.report = TrafficReport::default();
        self.build(table);
    }

    /// Returns the busiest rows in their order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the meaning of a row.
    #[must_use]
    pub const fn group_by(&self) -> GroupBy {
        self.by
    }

    /// Returns the order.
    #[must_use]
    pub const fn sort_by(&self) -> SortBy {
        self.sort
    }

    /// Returns the sum of all flows.
    #[must_use]
    pub const fn total(&self) -> &Load {
        &self.total
    }

    /// Returns bytes per second of the past readings, oldest first.
    #[must_use]
    pub const fn history(&self) -> &VecDeque<u64> {
        &self.history
    }

    /// Returns the number of flows of each protocol, most first.
    #[must_use]
    pub fn protocols(&self) -> Vec<(&str, u64)> {
        most_first(&self.protocols)
    }

    /// Returns the number of flows in each state of TCP, most first.
    #[must_use]
    pub fn states(&self) -> Vec<(&str, u64)> {
        most_first(&self.states)
    }

    /// Returns the losses of the last reading.
    #[must_use]
    pub const fn losses(&self) -> &Losses {
        &self.report.losses
    }

    fn build(&mut self, table: &FlowTable) {
        let mut groups: HashMap<Group, Load> = HashMap::new();
        let (mut protocols, mut states) = (BTreeMap::<Protocol, u64>::new(), BTreeMap::<TcpState, u64>::new());
        for entry in table.iter().filter(|entry| self.filter.matches(entry)) {
            *protocols.entry(entry.protocol()).or_default() += 1;
            if let Some(state) = entry.tcp_state() {
                *states.entry(state).or_default() += 1;
            }
            let load = groups.entry(Group::of(flow_id(&entry), self.by)).or_default();
            load.flows += 1;
            load.offloaded |= entry.is_offloaded() == Some(true);
        }
        // Flows that have ended since have traffic too.
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        for (flow, traffic) in &self.report.traffic {
            groups.entry(Group::of(*flow, self.by)).or_default().add(traffic, seconds);
        }
        self.total = Load::default();
        groups.values().for_each(|load| self.total.add_load(load));
        self.protocols = named(protocols);
        self.states = named(states);
        self.rows = self.first_rows(groups);
    }

    fn first_rows(&self, groups: HashMap<Group, Load>) -> Vec<Row> {
        let mut rows: Vec<(Group, Load)> = groups.into_iter().collect();
        let order = |(one, first): &(Group, Load), (other, second): &(Group, Load)| {
            let order = match self.sort {
                SortBy::Bytes => second.bytes().total_cmp(&first.bytes()),
                SortBy::Packets => second.packets.total_cmp(&first.packets),
                SortBy::Flows => second.flows.cmp(&first.flows),
            };
            order.then_with(|| one.cmp(other))
        };
        if rows.len() > MOST_ROWS {
            rows.select_nth_unstable_by(MOST_ROWS, order);
            rows.truncate(MOST_ROWS);
        }
        rows.sort_by(order);
        rows.into_iter().map(|(group, load)| Row { name: group.to_string(), load }).collect()
    }
}

fn named<K: fmt::Display>(counts: BTreeMap<K, u64>) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_string(), count)).collect()
}

fn most_first(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut counts: Vec<(&str, u64)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    counts.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
    counts
}
