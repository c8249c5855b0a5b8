//! What a user of the table sees: one flow, and a change.

use core::{fmt, time::Duration};

use super::record::Record;
use crate::model::{
    AnyFlow, Counters, DccpState, Endpoint, Family, Flow, FlowKey, FlowTimes, HelperRef, Labels, Protocol,
    ProtocolInfo, SctpState, Sealed, SequenceAdjustment, Shape, Status, Synproxy, TcpState, Timestamp, Tuple,
    inherent_attributes, inherent_getters,
};

/// A view of one flow of a [`FlowTable`](super::FlowTable).
///
/// Timeout, counters and window are as the last message that carried them said.
///
/// # Example
///
/// ```
/// use ctnetlink::{Event, Flow, FlowTable, Tuple, events::FlowEvent};
///
/// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// # let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// let mut table = FlowTable::new();
/// table.apply(&Event::New(FlowEvent::new(flow.clone())), &mut Vec::new());
/// for entry in &table {
///     assert_eq!((entry.original(), entry.to_flow()), (original, flow.clone()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct TableEntry<'a>(pub(super) &'a Record);

impl Sealed for TableEntry<'_> {
    fn shape(&self) -> Shape<'_> {
        Shape::Other(self)
    }
}

impl AnyFlow for TableEntry<'_> {
    fn original(&self) -> Tuple {
        self.0.original
    }

    fn reply(&self) -> Tuple {
        self.0.reply
    }

    fn zone(&self) -> Option<u16> {
        self.0.zone
    }

    fn status(&self) -> Option<Status> {
        self.0.status
    }

    fn mark(&self) -> Option<u32> {
        self.0.mark
    }

    fn security_context(&self) -> Option<&str> {
        self.0.rest()?.security_context.as_deref()
    }

    fn id(&self) -> Option<u32> {
        self.0.id
    }

    fn use_count(&self) -> Option<u32> {
        None
    }

    fn master(&self) -> Option<Tuple> {
        self.0.rest()?.master
    }

    fn timeout(&self) -> Option<u32> {
        self.0.timeout
    }

    fn protocol_info(&self) -> Option<ProtocolInfo> {
        self.0.protocol_info()
    }

    fn counters_original(&self) -> Option<Counters> {
        self.0.counters_original
    }

    fn counters_reply(&self) -> Option<Counters> {
        self.0.counters_reply
    }

    fn times(&self) -> Option<FlowTimes> {
        self.0.times()
    }

    fn helper(&self) -> Option<HelperRef<'_>> {
        self.0.rest()?.helper.as_ref().map(HelperRef::from)
    }

    fn labels(&self) -> Option<Labels> {
        self.0.labels()
    }

    fn sequence_adjustment_original(&self) -> Option<SequenceAdjustment> {
        self.0.rest()?.sequence_adjustment_original
    }

    fn sequence_adjustment_reply(&self) -> Option<SequenceAdjustment> {
        self.0.rest()?.sequence_adjustment_reply
    }

    fn synproxy(&self) -> Option<Synproxy> {
        self.0.synproxy()
    }

    fn event_time(&self) -> Option<Timestamp> {
        None
    }

    fn to_flow(&self) -> Flow {
        self.0.to_flow()
    }
}

inherent_attributes!(TableEntry<'_>);
inherent_getters!(TableEntry<'_>);

impl TableEntry<'_> {
    /// Returns the flow as a value, with everything known of it.
    #[must_use]
    pub fn to_flow(&self) -> Flow {
        self.0.to_flow()
    }
}

impl fmt::Debug for TableEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_flow().fmt(f)
    }
}

impl From<TableEntry<'_>> for FlowKey {
    fn from(entry: TableEntry<'_>) -> Self {
        let key = Self::original(entry.original());
        Self { zone: entry.zone(), id: entry.id(), ..key }
    }
}

/// A difference between the table before and after.
///
/// Changes are complete: applying all of them to an empty map (insert, replace, remove by original tuple and zone)
/// reproduces the table.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{ChangeKind, Mirror};
///
/// for change in Mirror::open()? {
///     let change = change?;
///     if change.kind == ChangeKind::Vanished {
///         println!("ended: {}", change.flow);
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Change {
    /// What happened to the flow.
    pub kind: ChangeKind,
    /// True if no event reported the change: a dump revealed it, or it follows from an event of another flow.
    pub inferred: bool,
    /// The flow with everything known of it, as it is now; or as it was last, if it vanished.
    pub flow: Flow,
}

/// What happened to a flow.
///
/// # Example
///
/// ```
/// use ctnetlink::ChangeKind;
///
/// assert_eq!(ChangeKind::Vanished.to_string(), "vanished");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "a table cannot change in a fourth way")]
pub enum ChangeKind {
    /// The flow entered the table.
    Appeared,
    /// The flow changed, or a program asked the kernel for a change.
    Changed,
    /// The flow left the table.
    Vanished,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Appeared => "appeared",
            Self::Changed => "changed",
            Self::Vanished => "vanished",
        })
    }
}
