//! The changes that a table yields, and how messages change a flow.

use core::fmt;

use super::record::{SeenInEvents, TableEntry};
use crate::model::{AnyFlow, EventKind, Flow, FlowTimes, Helper, Labels, ProtocolInfo};

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
    /// The kind of change.
    pub kind: ChangeKind,
    /// True if no event reported the change: a dump revealed it, or it follows from an event of another flow.
    pub inferred: bool,
    /// The flow with everything known of it, as it is now; or as it was last, if it vanished.
    pub flow: Flow,
}

/// A kind of change.
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

/// Adds to the flow of an event what is known of it. Attributes that the event leaves out are unchanged, with two
/// exceptions: an event leaves out a mark of 0, and, unless it is a DESTROY, the helper of a flow that has none.
pub(super) fn merge_event(event: &mut Flow, kind: EventKind, known: TableEntry<'_>) {
    if event.mark.is_none() {
        event.mark = known.mark().map(|_| 0);
    }
    if kind == EventKind::Destroy {
        event.helper = known.helper().map(Helper::from);
    }
    fill(event, &known);
}

/// Updates a flow from an entry of a dump, if events were about the flow since the dump began. Attributes that the
/// events carried stay, and everything else is older than the entry.
pub(super) fn merge_entry(known: &mut Flow, seen: SeenInEvents, entry: &Flow) {
    if !seen.contains(SeenInEvents::PROTOCOL_INFO) {
        known.protocol_info = entry.protocol_info;
    }
    if !seen.contains(SeenInEvents::LABELS) {
        known.labels = entry.labels;
    }
    if known.helper.is_none() {
        known.helper.clone_from(&entry.helper);
    }
    fill(known, entry);
}

/// Adds the parts that `$one` lacks, in place.
macro_rules! fill_parts {
    ($one:ident, $two:ident: $( $part:ident )*) => {
        { $( $one.$part = $one.$part.or($two.$part); )* }
    };
}

/// Adds from `other` the attributes that `known` lacks, except the helper.
fn fill(known: &mut Flow, other: &impl AnyFlow) {
    /// Adds all attributes but those with parts. Every attribute is named: a new one does not compile until it is here.
    macro_rules! fill_attributes {
        ($( $attribute:ident )*) => {
            let Flow { original: _, reply: _, helper: _, protocol_info, times, $( $attribute, )* } = known;
            fill_info(protocol_info, other.protocol_info());
            fill_times(times, other.times());
            $( if $attribute.is_none() {
                *$attribute = other.$attribute().map(Into::into);
            } )*
        };
    }
    fill_attributes! {
        zone status mark security_context id use_count master timeout counters_original counters_reply labels
        sequence_adjustment_original sequence_adjustment_reply synproxy event_time
    }
}

fn fill_times(known: &mut Option<FlowTimes>, other: Option<FlowTimes>) {
    match (known, other) {
        (Some(one), Some(two)) => fill_parts!(one, two: start stop),
        (Some(_), None) => {}
        (none, other) => *none = other,
    }
}

/// A DESTROY carries only the state.
fn fill_info(known: &mut Option<ProtocolInfo>, other: Option<ProtocolInfo>) {
    match (known, other) {
        (Some(ProtocolInfo::Tcp(one)), Some(ProtocolInfo::Tcp(two))) => {
            fill_parts!(one, two: state window_scale_original window_scale_reply flags_original flags_reply);
        }
        (Some(ProtocolInfo::Sctp(one)), Some(ProtocolInfo::Sctp(two))) => {
            fill_parts!(one, two: state verification_tag_original verification_tag_reply);
        }
        (Some(ProtocolInfo::Dccp(one)), Some(ProtocolInfo::Dccp(two))) => {
            fill_parts!(one, two: state role handshake_sequence);
        }
        (Some(_), _) => {}
        (none, other) => *none = other,
    }
}

/// Whether two versions of a flow differ in something that an event carries: status, mark, state, helper or labels.
/// Attributes that change with every packet (timeout, counters, window) do not count.
pub(super) fn differs(one: &Flow, other: &Flow) -> bool {
    let state = |flow: &Flow| (flow.tcp_state(), flow.sctp_state(), flow.dccp_state());
    let labels = |flow: &Flow| flow.labels.unwrap_or(Labels(0));
    fn helper(flow: &Flow) -> Option<&str> {
        flow.helper.as_ref().map(|helper| &*helper.name)
    }
    one.status != other.status
        || one.mark.unwrap_or(0) != other.mark.unwrap_or(0)
        || state(one) != state(other)
        || labels(one) != labels(other)
        || helper(one) != helper(other)
}
