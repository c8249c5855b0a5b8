//! The templates: which elements a record has, in which order and length.
//!
//! All lengths are fixed, and counters have 8 octets: collectors lose shorter counters and elements of variable length. A
//! layout never changes under its identifier, because collectors keep templates across restarts of the exporter.

/// The private enterprise number of reverse elements (RFC 5103).
const REVERSE: u32 = 29305;

/// An element of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// The number in IANA's registry.
    pub element: u16,
    /// The enterprise that defines the element, or 0 for IANA.
    pub enterprise: u32,
    /// Octets.
    pub length: u16,
}

const fn field(element: u16, length: u16) -> Field {
    Field { element, enterprise: 0, length }
}

const fn reverse(element: u16, length: u16) -> Field {
    Field { element, enterprise: REVERSE, length }
}

/// The layer 3 family of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A group of elements that stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Time, event and type of a translation.
    Event,
    /// Addresses, each followed by its translation; protocol; ports likewise; ICMP type; zone; identifier.
    TranslatedFlow,
    /// The same without translations.
    Flow,
    /// Begin and end.
    Times,
    /// Packets and bytes of both directions.
    Counters,
    /// Why the flow ended.
    EndReason,
}

const EVENT: [Field; 3] = [
    field(323, 8), // observationTimeMilliseconds
    field(230, 1), // natEvent
    field(297, 1), // natType
];
const TRANSLATED_FLOW_4: [Field; 12] = [
    field(8, 4),   // sourceIPv4Address
    field(225, 4), // postNATSourceIPv4Address
    field(12, 4),  // destinationIPv4Address
    field(226, 4), // postNATDestinationIPv4Address
    field(4, 1),   // protocolIdentifier
    field(7, 2),   // sourceTransportPort
    field(227, 2), // postNAPTSourceTransportPort
    field(11, 2),  // destinationTransportPort
    field(228, 2), // postNAPTDestinationTransportPort
    field(32, 2),  // icmpTypeCodeIPv4
    field(234, 4), // ingressVRFID
    field(148, 8), // flowId
];
const TRANSLATED_FLOW_6: [Field; 12] = [
    field(27, 16),  // sourceIPv6Address
    field(281, 16), // postNATSourceIPv6Address
    field(28, 16),  // destinationIPv6Address
    field(282, 16), // postNATDestinationIPv6Address
    field(4, 1),
    field(7, 2),
    field(227, 2),
    field(11, 2),
    field(228, 2),
    field(139, 2), // icmpTypeCodeIPv6
    field(234, 4),
    field(148, 8),
];
const FLOW_4: [Field; 8] =
    [field(8, 4), field(12, 4), field(4, 1), field(7, 2), field(11, 2), field(32, 2), field(234, 4), field(148, 8)];
const FLOW_6: [Field; 8] =
    [field(27, 16), field(28, 16), field(4, 1), field(7, 2), field(11, 2), field(139, 2), field(234, 4), field(148, 8)];
/// Without these two, nfdump dates a record to 1970.
const TIMES: [Field; 2] = [
    field(152, 8), // flowStartMilliseconds
    field(153, 8), // flowEndMilliseconds
];
/// No other reverse element: nfcapd writes those over the forward element.
const COUNTERS: [Field; 4] = [
    field(1, 8), // octetDeltaCount
    field(2, 8), // packetDeltaCount
    reverse(1, 8),
    reverse(2, 8),
];
const END_REASON: [Field; 1] = [field(136, 1)]; // flowEndReason

impl Part {
    const fn fields(self, version: Version) -> &'static [Field] {
        match (self, version) {
            (Self::Event, _) => &EVENT,
            (Self::TranslatedFlow, Version::V4) => &TRANSLATED_FLOW_4,
            (Self::TranslatedFlow, Version::V6) => &TRANSLATED_FLOW_6,
            (Self::Flow, Version::V4) => &FLOW_4,
            (Self::Flow, Version::V6) => &FLOW_6,
            (Self::Times, _) => &TIMES,
            (Self::Counters, _) => &COUNTERS,
            (Self::EndReason, _) => &END_REASON,
        }
    }
}

/// The layout of the records of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    /// The identifier, which is also that of the sets with its records.
    pub id: u16,
    /// The family of its addresses.
    pub version: Version,
    pub(super) parts: &'static [Part],
}

impl Template {
    /// Returns the elements in their order.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.parts.iter().flat_map(|part| part.fields(self.version)).copied()
    }

    /// Returns true if the records have translated addresses.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.parts.contains(&Part::TranslatedFlow)
    }

    /// Returns the octets of a record.
    #[must_use]
    pub fn record_length(&self) -> usize {
        self.fields().map(|field| usize::from(field.length)).sum()
    }
}

const fn template(id: u16, version: Version, parts: &'static [Part]) -> Template {
    Template { id, version, parts }
}

const CREATE: &[Part] = &[Part::Event, Part::TranslatedFlow, Part::Times];
const DELETE: &[Part] = &[Part::Event, Part::TranslatedFlow, Part::Times, Part::Counters, Part::EndReason];
const UNCOUNTED_DELETE: &[Part] = &[Part::Event, Part::TranslatedFlow, Part::Times, Part::EndReason];
const END: &[Part] = &[Part::Flow, Part::Times, Part::Counters, Part::EndReason];
const UNCOUNTED_END: &[Part] = &[Part::Flow, Part::Times, Part::EndReason];

/// All templates except that of options.
///
/// A flow without counters has templates without counters: zeros would be a claim.
pub static TEMPLATES: [Template; 10] = [
    template(256, Version::V4, CREATE),
    template(257, Version::V4, DELETE),
    template(258, Version::V6, CREATE),
    template(259, Version::V6, DELETE),
    template(260, Version::V4, END),
    template(261, Version::V6, END),
    template(262, Version::V4, UNCOUNTED_DELETE),
    template(263, Version::V6, UNCOUNTED_DELETE),
    template(265, Version::V4, UNCOUNTED_END),
    template(266, Version::V6, UNCOUNTED_END),
];

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A translation began.
    Create,
    /// A translation ended.
    Delete { counted: bool },
    /// A flow without translation ended.
    End { counted: bool },
}

/// Returns the template of a record.
pub(super) fn template_of(kind: Kind, version: Version) -> &'static Template {
    let [create4, delete4, create6, delete6, end4, end6, bare_delete4, bare_delete6, bare_end4, bare_end6] = &TEMPLATES;
    let (v4, v6) = match kind {
        Kind::Create => (create4, create6),
        Kind::Delete { counted: true } => (delete4, delete6),
        Kind::Delete { counted: false } => (bare_delete4, bare_delete6),
        Kind::End { counted: true } => (end4, end6),
        Kind::End { counted: false } => (bare_end4, bare_end6),
    };
    match version {
        Version::V4 => v4,
        Version::V6 => v6,
    }
}

/// The options template: statistics of the exporter.
pub const STATISTICS: u16 = 264;
/// Its elements. The first is the scope.
pub const STATISTICS_FIELDS: [Field; 4] = [
    field(149, 4), // observationDomainId
    field(41, 8),  // exportedMessageTotalCount
    field(42, 8),  // exportedFlowRecordTotalCount
    field(166, 8), // notSentFlowTotalCount
];
/// The octets of its records.
pub(super) const STATISTICS_LENGTH: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_their_documented_lengths() {
        let lengths = TEMPLATES.each_ref().map(|template| (template.id, template.record_length()));
        let expected = [
            (256, 65),
            (257, 98),
            (258, 113),
            (259, 146),
            (260, 76),
            (261, 100),
            (262, 66),
            (263, 114),
            (265, 44),
            (266, 68),
        ];
        assert_eq!(lengths, expected);
        let statistics: u16 = STATISTICS_FIELDS.iter().map(|field| field.length).sum();
        assert_eq!(usize::from(statistics), STATISTICS_LENGTH);
    }
}
