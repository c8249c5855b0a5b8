//! A filter over a flow, in userspace.

use core::cell::OnceCell;

use super::{
    Addresses, Translation,
    expression::{Expression, Side, Term},
    fields::{AddressField, NumberField},
    ranges::Ranges,
};
use crate::model::{
    Counters, Endpoint, Flow, FlowRef, Labels, Layer4, Lifetime, ProtocolInfo, Status, Timestamp, Tuple, nat,
};

/// What a filter can be held against: a [`Flow`] or a [`FlowRef`].
pub trait Subject: sealed::Attributes {}

impl Subject for Flow {}
impl Subject for FlowRef<'_> {}

mod sealed {
    use super::{Counters, Flow, FlowRef, Labels, Lifetime, ProtocolInfo, Status, Tuple};

    /// The attributes that filters look at.
    #[allow(unnameable_types)] // Sealed: what a filter looks at may change.
    pub trait Attributes {
        fn original(&self) -> Tuple;
        fn reply(&self) -> Tuple;
        fn zone(&self) -> Option<u16>;
        fn status(&self) -> Option<Status>;
        fn timeout(&self) -> Option<u32>;
        fn mark(&self) -> Option<u32>;
        fn protocol_info(&self) -> Option<ProtocolInfo>;
        fn counters_original(&self) -> Option<Counters>;
        fn counters_reply(&self) -> Option<Counters>;
        fn lifetime(&self) -> Option<Lifetime>;
        fn helper_name(&self) -> Option<&str>;
        fn labels(&self) -> Option<Labels>;
        fn id(&self) -> Option<u32>;
    }

    macro_rules! attributes {
        ($($name:ident: $type:ty),*) => {
            impl Attributes for Flow {
                fn original(&self) -> Tuple {
                    self.original
                }
                fn reply(&self) -> Tuple {
                    self.reply
                }
                fn helper_name(&self) -> Option<&str> {
                    self.helper.as_ref().map(|helper| &*helper.name)
                }
                $( fn $name(&self) -> Option<$type> {
                    self.$name
                } )*
            }

            impl Attributes for FlowRef<'_> {
                #[inline]
                fn original(&self) -> Tuple {
                    self.original().to_tuple()
                }
                #[inline]
                fn reply(&self) -> Tuple {
                    self.reply().to_tuple()
                }
                fn helper_name(&self) -> Option<&str> {
                    self.helper().map(|helper| helper.name)
                }
                $( #[inline]
                fn $name(&self) -> Option<$type> {
                    self.$name()
                } )*
            }
        };
    }

    attributes!(
        zone: u16, status: Status, timeout: u32, mark: u32, protocol_info: ProtocolInfo, counters_original: Counters,
        counters_reply: Counters, lifetime: Lifetime, labels: Labels, id: u32
    );
}

/// A flow under evaluation: each tuple is read once at most, and the clock only where an age is asked for.
pub(super) struct Evaluation<'s, S: ?Sized> {
    subject: &'s S,
    original: OnceCell<Tuple>,
    reply: OnceCell<Tuple>,
    now: OnceCell<Timestamp>,
}

impl<'s, S: Subject + ?Sized> Evaluation<'s, S> {
    #[inline]
    pub(super) const fn new(subject: &'s S) -> Self {
        Self { subject, original: OnceCell::new(), reply: OnceCell::new(), now: OnceCell::new() }
    }

    pub(super) fn at(subject: &'s S, now: Timestamp) -> Self {
        Self { now: now.into(), ..Self::new(subject) }
    }

    #[inline]
    pub(super) fn holds(&self, expression: &Expression) -> bool {
        match expression {
            Expression::All(parts) => parts.iter().all(|part| self.holds(part)),
            Expression::Any(parts) => parts.iter().any(|part| self.holds(part)),
            Expression::Not(inner) => !self.holds(inner),
            Expression::Term(term) => self.holds_term(term),
        }
    }

    #[inline]
    fn holds_term(&self, term: &Term) -> bool {
        match term {
            Term::Address { field, set } => self.holds_address(*field, set),
            Term::Number { field, values } => self.holds_number(*field, values),
            Term::Status(bits) => self.subject.status().is_some_and(|status| bits.matches(status.bits())),
            Term::Mark(bits) => bits.matches(self.subject.mark().unwrap_or(0)),
            Term::AllLabels(labels) => self.subject.labels().is_some_and(|have| have.0 & labels.0 == labels.0),
            Term::AnyLabel(labels) => self.subject.labels().is_some_and(|have| have.0 & labels.0 != 0),
            Term::Helper(name) => self.subject.helper_name() == Some(name),
            Term::Nat { side, to } => self.holds_translation(*side, to),
            Term::Tuple(set) => set.contains(self.original()),
        }
    }

    #[inline]
    fn original(&self) -> &Tuple {
        self.original.get_or_init(|| self.subject.original())
    }

    #[inline]
    fn reply(&self) -> &Tuple {
        self.reply.get_or_init(|| self.subject.reply())
    }

    #[inline]
    fn holds_address(&self, field: AddressField, set: &Addresses) -> bool {
        match field {
            AddressField::Source => set.contains(self.original().source),
            AddressField::Destination => set.contains(self.original().destination),
            AddressField::ReplySource => set.contains(self.reply().source),
            AddressField::ReplyDestination => set.contains(self.reply().destination),
            AddressField::Any => [self.original(), self.reply()]
                .iter()
                .any(|tuple| set.contains(tuple.source) || set.contains(tuple.destination)),
        }
    }

    #[inline]
    fn holds_number(&self, field: NumberField, values: &Ranges<u64>) -> bool {
        match field {
            NumberField::Port => [self.original(), self.reply()].iter().any(|tuple| {
                let ports = [tuple.source_port(), tuple.destination_port()];
                ports.into_iter().flatten().any(|port| values.contains(port.into()))
            }),
            NumberField::ZoneEither => {
                values.contains(self.zone_of(self.original()).into())
                    || values.contains(self.zone_of(self.reply()).into())
            }
            field => self.number(field).is_some_and(|number| values.contains(number)),
        }
    }

    #[inline]
    fn number(&self, field: NumberField) -> Option<u64> {
        match field {
            NumberField::Family => Some(self.original().family().0.into()),
            NumberField::Protocol => Some(self.original().protocol.0.into()),
            NumberField::SourcePort => self.original().source_port().map(u64::from),
            NumberField::DestinationPort => self.original().destination_port().map(u64::from),
            NumberField::ReplySourcePort => self.reply().source_port().map(u64::from),
            NumberField::ReplyDestinationPort => self.reply().destination_port().map(u64::from),
            NumberField::Port | NumberField::ZoneEither => None,
            NumberField::SourceKey => keys(self.original()).map(|(source, _)| source),
            NumberField::DestinationKey => keys(self.original()).map(|(_, destination)| destination),
            NumberField::ReplySourceKey => keys(self.reply()).map(|(source, _)| source),
            NumberField::ReplyDestinationKey => keys(self.reply()).map(|(_, destination)| destination),
            NumberField::IcmpType => self.query().map(|(icmp_type, _, _)| icmp_type.into()),
            NumberField::IcmpCode => self.query().map(|(_, code, _)| code.into()),
            NumberField::IcmpId => self.query().map(|(_, _, id)| id.into()),
            NumberField::TcpState => self.protocol_info()?.tcp()?.state.map(|state| state.0.into()),
            NumberField::SctpState => self.protocol_info()?.sctp()?.state.map(|state| state.0.into()),
            NumberField::DccpState => self.protocol_info()?.dccp()?.state.map(|state| state.0.into()),
            NumberField::DccpRole => self.protocol_info()?.dccp()?.role.map(|role| role.0.into()),
            NumberField::TagOriginal => self.protocol_info()?.sctp()?.verification_tag_original.map(u64::from),
            NumberField::TagReply => self.protocol_info()?.sctp()?.verification_tag_reply.map(u64::from),
            NumberField::Zone => self.zone().map(u64::from),
            NumberField::ZoneOriginal => Some(self.zone_of(self.original()).into()),
            NumberField::ZoneReply => Some(self.zone_of(self.reply()).into()),
            NumberField::Id => self.subject.id().map(u64::from),
            NumberField::Timeout => self.subject.timeout().map(u64::from),
            NumberField::Age => self.age(),
            NumberField::Packets => self.counters().map(|counters| counters.packets),
            NumberField::Bytes => self.counters().map(|counters| counters.bytes),
            NumberField::PacketsOriginal => self.subject.counters_original().map(|counters| counters.packets),
            NumberField::BytesOriginal => self.subject.counters_original().map(|counters| counters.bytes),
            NumberField::PacketsReply => self.subject.counters_reply().map(|counters| counters.packets),
            NumberField::BytesReply => self.subject.counters_reply().map(|counters| counters.bytes),
        }
    }

    #[inline]
    fn protocol_info(&self) -> Option<ProtocolInfo> {
        self.subject.protocol_info()
    }

    fn query(&self) -> Option<(u8, u8, u16)> {
        if let Layer4::Icmp { icmp_type, code, id } = self.original().layer4 {
            Some((icmp_type, code, id))
        } else {
            None
        }
    }

    /// The zone that packets with this tuple are looked up in.
    fn zone_of(&self, tuple: &Tuple) -> u16 {
        tuple.zone.or_else(|| self.subject.zone()).unwrap_or(0)
    }

    fn zone(&self) -> Option<u16> {
        let zone = self.zone_of(self.original());
        (zone == self.zone_of(self.reply())).then_some(zone)
    }

    fn counters(&self) -> Option<Counters> {
        match (self.subject.counters_original(), self.subject.counters_reply()) {
            (Some(original), Some(reply)) => Some(original + reply),
            (one, None) | (None, one) => one,
        }
    }

    fn age(&self) -> Option<u64> {
        let lifetime = self.subject.lifetime()?;

        let start = lifetime.start?;
        let end = lifetime.stop.unwrap_or_else(|| *self.now.get_or_init(Timestamp::now));
        Some(end.since(start).as_secs())
    }

    fn holds_translation(&self, side: Side, to: &Translation) -> bool {
        let source = || nat::source_translation(self.original(), self.reply());
        let destination = || nat::destination_translation(self.original(), self.reply());
        let holds = |end: Option<Endpoint>| end.is_some_and(|end| to.contains(end));
        match side {
            Side::Source => holds(source()),
            Side::Destination => holds(destination()),
            Side::Either => holds(source()) || holds(destination()),
        }
    }
}

fn keys(tuple: &Tuple) -> Option<(u64, u64)> {
    if let Layer4::Keys { source, destination } = tuple.layer4 {
        Some((source.into(), destination.into()))
    } else {
        None
    }
}
