//! The attributes of a flow: one table from which everything that must know them all is generated.

/// Passes the table of attributes to the macro `$emit`, with the arguments in brackets before it.
///
/// This table is the single source of truth. From it come the fields of [`Flow`](super::Flow), their serde attributes,
/// `Flow::new`, the encoder, the decoder, and the accessors of `Flow`, [`FlowRef`](super::FlowRef) and
/// [`AnyFlow`](super::AnyFlow). Rows are in the order of a dump by Linux 6.18, because the decoder relies on it for
/// speed (not for correctness).
///
/// A row reads:
///
/// ```text
/// NUMBER[usual length] name: type of the field [as type in the view as type of the accessor]
///     = function that reads the view's type, function that writes the field [, conversion of field to accessor];
/// ```
///
/// The parts in brackets are for types that are not `Copy`, or that the view reads later.
macro_rules! flow_attributes {
    ($emit:ident $(, $($argument:tt)+)?) => { $emit! { [$($($argument)+)?] 'a;
        /// The zone of both directions. `None` in the default zone, or if only one direction has a zone.
        CTA_ZONE[6] zone: u16 = Attribute::u16, write_u16;
        /// Status bits.
        CTA_STATUS[8] status: Status = Status::read, write_status;
        /// The mark that rules and users set on flows (`ct mark` in nft).
        CTA_MARK[8] mark: u32 = Attribute::u32, write_u32;
        /// The security context, as the security module prints it.
        CTA_SECCTX[ANY] security_context: Box<str> as &'a str as &str
            = read_security_context, write_security_context, |context| &**context;
        /// An opaque identifier, the same for as long as the flow lives.
        ///
        /// The kernel derives it from the tuple and the flow's place in memory. Identifiers are reused: of 20,000 flows
        /// that were deleted and at once created again, 19,999 received the same identifier.
        CTA_ID[8] id: u32 = Attribute::u32, write_u32;
        /// The number of references that the kernel holds: one less than `/proc/net/nf_conntrack` prints.
        CTA_USE[8] use_count: u32 = Attribute::u32, write_u32;
        /// The original tuple of the flow that expected this one.
        CTA_TUPLE_MASTER[52] master: Tuple as TupleRef<'a> as Tuple
            = TupleRef::read, write_nest, |tuple| *tuple;
        /// Seconds until the flow ends unless a packet arrives.
        CTA_TIMEOUT[8] timeout: u32 = Attribute::u32, write_u32;
        /// State and parameters of TCP, SCTP or DCCP.
        CTA_PROTOINFO[48] protocol_info: ProtocolInfo = ProtocolInfo::read, write_nest;
        /// Packets and bytes from the initiator.
        CTA_COUNTERS_ORIG[28] counters_original: Counters = Counters::read, write_nest;
        /// Packets and bytes from the responder.
        CTA_COUNTERS_REPLY[28] counters_reply: Counters = Counters::read, write_nest;
        /// The times when the flow began and ended.
        CTA_TIMESTAMP[16] times: FlowTimes = FlowTimes::read, write_nest;
        /// The helper that inspects the flow.
        CTA_HELP[12] helper: Helper as HelperRef<'a> as HelperRef<'_>
            = HelperRef::read, write_nest, HelperRef::from;
        /// Label bits.
        CTA_LABELS[20] labels: Labels = Labels::read, write_labels;
        /// The shift of sequence numbers from the initiator.
        CTA_SEQ_ADJ_ORIG[28] sequence_adjustment_original: SequenceAdjustment
            = SequenceAdjustment::read, write_nest;
        /// The shift of sequence numbers from the responder.
        CTA_SEQ_ADJ_REPLY[28] sequence_adjustment_reply: SequenceAdjustment
            = SequenceAdjustment::read, write_nest;
        /// The SYN proxy's numbers.
        CTA_SYNPROXY[28] synproxy: Synproxy = Synproxy::read, write_nest;
        /// The time of the event.
        CTA_TIMESTAMP_EVENT[12] event_time: Timestamp = Timestamp::read, write_timestamp;
    } };
}

/// The last of its arguments: a row's own choice, or the default before it.
macro_rules! last {
    (value $default:expr) => {
        $default
    };
    (value $default:expr, $choice:expr) => {
        $choice
    };
    ($default:ty) => {
        $default
    };
    ($default:ty, $choice:ty) => {
        $choice
    };
}

pub(crate) use {flow_attributes, last};
