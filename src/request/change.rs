//! Change a flow; delete one flow, or many.

use super::{Command, EncodeRequest, RequestHeader};
use crate::{
    error::{DecodeError, Operation},
    filter::KernelFilter,
    macros::read_attributes,
    model::{
        Family, FlowKey, Helper, HelperRef, Labels, MaskedLabels, MaskedMark, ProtocolInfo, SequenceAdjustment, Status,
        Synproxy,
    },
    wire::{
        Attribute, Attributes, CTA_HELP, CTA_LABELS, CTA_LABELS_MASK, CTA_MARK, CTA_MARK_MASK, CTA_PROTOINFO,
        CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY, CTA_TIMEOUT, Encoder, MessageType,
    },
};

/// The attributes of a flow to change. Only attributes that were set are sent, and zero is a value.
///
/// The kernel applies the attributes in the order helper, timeout, status, protocol information, mark, sequence
/// adjustment, SYN proxy, labels. If it refuses one, those before it stay applied.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowUpdate, Labels, MaskedLabels};
///
/// let update = FlowUpdate::new().mark(0).timeout(60).labels(MaskedLabels::add(Labels::default().with(3)));
/// assert!(!update.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct FlowUpdate {
    /// The mark (`CTA_MARK`, `CTA_MARK_MASK`).
    pub mark: Option<MaskedMark>,
    /// Seconds until the flow ends unless a packet comes (`CTA_TIMEOUT`); 0 ends it at once.
    pub timeout: Option<u32>,
    /// Status bits to add (`CTA_STATUS`).
    pub status: Option<Status>,
    /// Labels (`CTA_LABELS`, `CTA_LABELS_MASK`).
    pub labels: Option<MaskedLabels>,
    /// State, flags, window scales (`CTA_PROTOINFO`).
    pub protocol_info: Option<ProtocolInfo>,
    /// The helper's private bytes (`CTA_HELP`).
    pub helper: Option<Helper>,
    /// The shift of sequence numbers from the initiator (`CTA_SEQ_ADJ_ORIG`).
    pub sequence_adjustment_original: Option<SequenceAdjustment>,
    /// The shift of sequence numbers from the responder (`CTA_SEQ_ADJ_REPLY`).
    pub sequence_adjustment_reply: Option<SequenceAdjustment>,
    /// The SYN proxy's numbers (`CTA_SYNPROXY`).
    pub synproxy: Option<Synproxy>,
}

impl FlowUpdate {
    /// Status bits that the kernel refuses to change or clear: an update has to repeat those of the flow.
    const KEPT: Status =
        Status::EXPECTED.union(Status::SEEN_REPLY).union(Status::ASSURED).union(Status::CONFIRMED).union(Status::DYING);

    /// An update that changes nothing yet. Sending it is an error.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the mark.
    pub fn mark(self, mark: u32) -> Self {
        self.mark_bits(mark, u32::MAX)
    }

    /// Sets the bits of the mark that are in `mask`, and leaves the others: `new = (old & !mask) | (mark & mask)`.
    pub fn mark_bits(mut self, mark: u32, mask: u32) -> Self {
        self.mark = Some(MaskedMark { mark: mark & mask, mask });
        self
    }

    /// Sets the seconds until the flow ends unless a packet comes. 0 ends the flow at once.
    ///
    /// Refused with EPERM for a flow with [`Status::FIXED_TIMEOUT`] (Linux 6.0 and later).
    pub fn timeout(mut self, seconds: u32) -> Self {
        self.timeout = Some(seconds);
        self
    }

    /// Adds status bits. No bit can be cleared.
    ///
    /// The kernel accepts only a status that repeats the bits of the flow. [`Client::update`](crate::Client::update)
    /// looks them up; an [`UpdateFlow`] takes them from [`with_current_status`](UpdateFlow::with_current_status).
    pub fn add_status(mut self, bits: Status) -> Self {
        self.status = Some(bits);
        self
    }

    /// Sets and clears labels. The flow has room for them only if a rule used labels when it began.
    pub fn labels(mut self, labels: MaskedLabels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Sets state, flags or window scales. Fields that are `None` do not change. The kernel ignores the information of
    /// another protocol.
    pub fn protocol_info(mut self, info: impl Into<ProtocolInfo>) -> Self {
        self.protocol_info = Some(info.into());
        self
    }

    /// Passes new private bytes to the helper of the flow. The name must be that of the flow's helper: another is
    /// refused with EBUSY. The empty name is [`remove_helper`](Self::remove_helper).
    pub fn helper(mut self, helper: Helper) -> Self {
        self.helper = Some(helper);
        self
    }

    /// Removes the helper. It cannot be added again: the kernel refuses that with EBUSY.
    pub fn remove_helper(self) -> Self {
        self.helper(Helper::new(""))
    }

    /// Shifts the sequence numbers from the initiator.
    pub fn sequence_adjustment_original(mut self, adjustment: SequenceAdjustment) -> Self {
        self.sequence_adjustment_original = Some(adjustment);
        self
    }

    /// Shifts the sequence numbers from the responder.
    pub fn sequence_adjustment_reply(mut self, adjustment: SequenceAdjustment) -> Self {
        self.sequence_adjustment_reply = Some(adjustment);
        self
    }

    /// Sets the SYN proxy's numbers.
    pub fn synproxy(mut self, synproxy: Synproxy) -> Self {
        self.synproxy = Some(synproxy);
        self
    }

    /// Returns true if the update changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if the update adds status bits, which requires the current ones.
    #[must_use]
    pub const fn needs_status(&self) -> bool {
        self.status.is_some()
    }

    /// Decodes the attributes of an update request, without the key.
    pub(crate) fn decode(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        let adjustment = SequenceAdjustment::read;
        read_attributes!(attributes;
            CTA_MARK => mark = Attribute::u32,
            CTA_MARK_MASK => mark_mask = Attribute::u32,
            CTA_TIMEOUT => timeout = Attribute::u32,
            CTA_STATUS => status = Attribute::u32,
            CTA_LABELS => label_bits = Labels::read,
            CTA_LABELS_MASK => labels_mask = Labels::read,
            CTA_PROTOINFO => protocol_info =
                ProtocolInfo::read,
            CTA_HELP => helper = |nest: Attribute<'_>| HelperRef::read(nest).map(Helper::from),
            CTA_SEQ_ADJ_ORIG => sequence_adjustment_original = adjustment,
            CTA_SEQ_ADJ_REPLY => sequence_adjustment_reply = adjustment,
            CTA_SYNPROXY => synproxy = Synproxy::read,
        );
        Ok(Self {
            mark: mark.map(|mark| MaskedMark { mark, mask: mark_mask.unwrap_or(u32::MAX) }),
            timeout,
            status: status.map(Status::from_bits_retain),
            labels: label_bits.map(|labels| MaskedLabels { labels, mask: labels_mask.unwrap_or(Labels::ALL) }),
            protocol_info,
            helper,
            sequence_adjustment_original,
            sequence_adjustment_reply,
            synproxy,
        })
    }

    /// Writes the attributes of the update without a key, for a message that names its flow otherwise, such as the verdict of
    /// nfnetlink_queue (`NFQA_CT`).
    ///
    /// `current_status` is the status that the flow has, which an update that adds status bits has to repeat.
    /// [`FlowRef::from_attributes`](crate::FlowRef::from_attributes) decodes the flow of a queued packet.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{FlowUpdate, Status, wire::Encoder};
    ///
    /// const NFQA_CT: u16 = 11;
    /// let mut buffer = [0; 64];
    /// let mut encoder = Encoder::new(&mut buffer);
    /// encoder.nest(NFQA_CT, |nest| FlowUpdate::new().mark(7).encode_attributes(Status::empty(), nest));
    /// assert_eq!(encoder.finish()?, 12);
    /// # Ok::<(), ctnetlink::EncodeError>(())
    /// ```
    pub fn encode_attributes(&self, current_status: Status, encoder: &mut Encoder<'_>) {
        encoder.optional_u32(CTA_TIMEOUT, self.timeout);
        if let Some(bits) = self.status {
            let kept = current_status & Self::KEPT;
            encoder.u32(CTA_STATUS, (bits | kept | Status::CONFIRMED).bits());
        }
        if let Some(MaskedMark { mark, mask }) = self.mark {
            // The kernel would flip bits outside the mask.
            encoder.u32(CTA_MARK, mark & mask);
            if mask != u32::MAX {
                encoder.u32(CTA_MARK_MASK, mask);
            }
        }
        encoder.optional_nest(CTA_PROTOINFO, self.protocol_info.as_ref());
        encoder.optional_nest(CTA_HELP, self.helper.as_ref());
        if let Some(MaskedLabels { labels, mask }) = self.labels {
            Labels(labels.0 & mask.0).encode(encoder, CTA_LABELS);
            mask.encode(encoder, CTA_LABELS_MASK);
        }
        encoder.optional_nest(CTA_SEQ_ADJ_ORIG, self.sequence_adjustment_original.as_ref());
        encoder.optional_nest(CTA_SEQ_ADJ_REPLY, self.sequence_adjustment_reply.as_ref());
        encoder.optional_nest(CTA_SYNPROXY, self.synproxy.as_ref());
    }
}

/// The request to change one flow.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::{FlowKey, FlowUpdate, Tuple, request::UpdateFlow};
///
/// let update = FlowUpdate::new().mark(7);
/// let key = FlowKey::original(Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?));
/// client.execute(&UpdateFlow::new(key, &update))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFlow<'a> {
    key: FlowKey,
    current_status: Status,
    update: &'a FlowUpdate,
}

impl<'a> UpdateFlow<'a> {
    /// Changes the flow of that key.
    #[must_use]
    pub fn new(key: FlowKey, update: &'a FlowUpdate) -> Self {
        Self { key, current_status: Status::empty(), update }
    }

    /// Sets the current status of the flow, which the kernel wants repeated if status bits are added.
    #[must_use]
    pub const fn with_current_status(self, status: Status) -> Self {
        Self { current_status: status, ..self }
    }
}

impl EncodeRequest for UpdateFlow<'_> {
    fn operation(&self) -> Operation {
        Operation::UpdateFlow
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::FLOW_NEW, self.key.family())
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.encode_with_key(self.key, encoder);
    }

    fn key(&self) -> Option<FlowKey> {
        Some(self.key)
    }

    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        key.encode(encoder);
        self.update.encode_attributes(self.current_status, encoder);
    }
}

/// The request to delete one flow, by tuple, zone and, if the key has one, identifier.
///
/// It always carries a tuple: for the kernel, a delete without one empties the table.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowKey, Message, Tuple, request::DeleteFlow};
///
/// let key = FlowKey::original(Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?));
/// assert_eq!(Message::from(DeleteFlow::new(key)), Message::DeleteFlow(DeleteFlow::new(key)));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteFlow {
    key: FlowKey,
}

impl DeleteFlow {
    /// Deletes the flow of that key.
    #[must_use]
    pub const fn new(key: FlowKey) -> Self {
        Self { key }
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> FlowKey {
        self.key
    }
}

impl EncodeRequest for DeleteFlow {
    fn operation(&self) -> Operation {
        Operation::DeleteFlow
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::FLOW_DELETE, self.key.family())
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.key.encode_with_id(encoder);
    }

    fn key(&self) -> Option<FlowKey> {
        Some(self.key)
    }

    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        key.encode_with_id(encoder);
    }
}

/// The request to delete every flow, every flow of a family, or every flow that a kernel filter selects.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::{Family, request::FlushFlows};
///
/// client.execute(&FlushFlows::of_family(Family::IPV6))?;
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushFlows {
    filter: KernelFilter,
}

impl FlushFlows {
    /// Deletes every flow of the namespace.
    #[must_use]
    pub const fn all() -> Self {
        Self::of_family(Family::UNSPEC)
    }

    /// Deletes every flow of that family (before Linux 5.2: of both).
    #[must_use]
    pub const fn of_family(family: Family) -> Self {
        Self { filter: KernelFilter::of_family(family) }
    }

    /// Returns the filter.
    #[must_use]
    pub const fn filter(&self) -> KernelFilter {
        self.filter
    }

    /// Deletes the flows that the kernel selects with that filter.
    ///
    /// A kernel ignores parts of a filter that it does not know, and deletes more, up to everything. Use only the
    /// filters that [`Plan::flush`](crate::filter::Plan::flush) returns for probed capabilities.
    #[must_use]
    pub(crate) const fn matching(filter: KernelFilter) -> Self {
        Self { filter }
    }
}

impl EncodeRequest for FlushFlows {
    fn operation(&self) -> Operation {
        Operation::FlushFlows
    }

    fn header(&self) -> RequestHeader {
        // With version 0 the kernel ignores the family and deletes the flows of both.
        RequestHeader::acknowledged(MessageType::FLOW_DELETE, self.filter.family()).with_version(1)
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.filter.encode(encoder);
    }
}

impl Command for UpdateFlow<'_> {}
impl Command for DeleteFlow {}
impl Command for FlushFlows {}
