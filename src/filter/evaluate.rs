//! Evaluates filters in userspace: the program, a list of comparisons with jumps, and its execution.

use core::{cell::OnceCell, net::IpAddr};
use std::sync::Arc;

use super::{
    AddressSet, Translation,
    expression::{Connective, Expression, Side, Term, Visit},
    fields::{AddressField, NumberField},
    sets::Ranges,
};
use crate::model::{
    AnyFlow, Counters, Direction, Endpoint, Family, Flow, FlowRef, GreKeys, Layer4, Protocol, Shape, Timestamp, Tuple,
    UsualTuple, nat,
};

/// Returns whether a flow matches. `now` is the time from which ages are computed; the clock is read if there is none.
///
/// It is not generic: the compiler inlines the accessors only if it compiles this in their crate.
pub(super) fn accepts(program: &Program, flow: Shape<'_>, now: Option<Timestamp>) -> bool {
    match flow {
        Shape::Value(flow) => Evaluation::new(flow, now).holds(program),
        Shape::View(flow) => Evaluation::new(flow, now).holds(program),
        Shape::Other(flow) => Evaluation::new(flow, now).holds(program),
    }
}

/// A flow as the evaluation reads it: the accessors of [`AnyFlow`], and the fast path of [`FlowRef`].
trait Subject: AnyFlow {
    /// Returns the tuple if each part can be read in place.
    #[inline]
    fn usual_tuple(&self, _: Direction) -> Option<UsualTuple<'_>> {
        None
    }
}

impl Subject for Flow {}
impl Subject for dyn AnyFlow + '_ {}

impl Subject for FlowRef<'_> {
    #[inline]
    fn usual_tuple(&self, direction: Direction) -> Option<UsualTuple<'_>> {
        let tuple = match direction {
            Direction::Original => self.original(),
            Direction::Reply => self.reply(),
        };
        UsualTuple::recognise(tuple.attributes().as_bytes())
    }
}

/// A flow under evaluation. Each tuple is read at most once, and the clock only if an age is compared.
struct Evaluation<'s, S: ?Sized> {
    subject: &'s S,
    original: LazyTuple<'s>,
    reply: LazyTuple<'s>,
    now: OnceCell<Timestamp>,
}

/// A tuple that is read on first use: part by part if it has the usual layout, and as a whole otherwise.
#[derive(Default)]
struct LazyTuple<'s> {
    usual: OnceCell<Option<UsualTuple<'s>>>,
    whole: OnceCell<Tuple>,
}

/// Both directions of a flow.
const BOTH: [Direction; 2] = [Direction::Original, Direction::Reply];

impl<'s, S: Subject + ?Sized> Evaluation<'s, S> {
    #[inline]
    fn new(subject: &'s S, now: Option<Timestamp>) -> Self {
        let now = now.map_or_else(OnceCell::new, OnceCell::from);
        Self { subject, original: LazyTuple::default(), reply: LazyTuple::default(), now }
    }

    /// Runs the program, in which every jump leads to a later step.
    fn holds(&self, program: &Program) -> bool {
        let (steps, mut at) = (program.steps(), program.start());
        while let Some(step) = steps.get(at) {
            at = if self.holds_term(&step.term) { step.holds } else { step.fails };
        }
        at == Program::ACCEPT
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
            Term::Helper(names) => self.subject.helper_name().is_some_and(|name| names.contains(name)),
            Term::Nat { side, to } => self.holds_translation(*side, to),
            Term::Tuple(set) => set.contains(self.tuple(Direction::Original)),
        }
    }

    #[inline]
    const fn lazy(&self, direction: Direction) -> &LazyTuple<'s> {
        match direction {
            Direction::Original => &self.original,
            Direction::Reply => &self.reply,
        }
    }

    #[inline]
    fn tuple(&self, direction: Direction) -> &Tuple {
        self.lazy(direction).whole.get_or_init(|| self.subject.tuple(direction))
    }

    #[inline]
    fn usual(&self, direction: Direction) -> Option<&UsualTuple<'s>> {
        self.lazy(direction).usual.get_or_init(|| self.subject.usual_tuple(direction)).as_ref()
    }

    #[inline]
    fn source(&self, direction: Direction) -> IpAddr {
        self.usual(direction).map_or_else(|| self.tuple(direction).source, UsualTuple::source)
    }

    #[inline]
    fn destination(&self, direction: Direction) -> IpAddr {
        self.usual(direction).map_or_else(|| self.tuple(direction).destination, UsualTuple::destination)
    }

    #[inline]
    fn protocol(&self) -> Protocol {
        let direction = Direction::Original;
        self.usual(direction).map_or_else(|| self.tuple(direction).protocol, UsualTuple::protocol)
    }

    #[inline]
    fn layer4(&self, direction: Direction) -> Layer4 {
        self.usual(direction).map_or_else(|| self.tuple(direction).layer4, UsualTuple::layer4)
    }

    /// The zone in which packets of the direction are looked up.
    fn zone(&self, direction: Direction) -> u16 {
        // A tuple with the usual layout contains no zone.
        let own = if self.usual(direction).is_some() { None } else { self.tuple(direction).zone };
        own.or_else(|| self.subject.zone()).unwrap_or(0)
    }

    #[inline]
    fn holds_address(&self, field: AddressField, set: &AddressSet) -> bool {
        match field {
            AddressField::Source => set.contains(self.source(Direction::Original)),
            AddressField::Destination => set.contains(self.destination(Direction::Original)),
            AddressField::ReplySource => set.contains(self.source(Direction::Reply)),
            AddressField::ReplyDestination => set.contains(self.destination(Direction::Reply)),
            AddressField::Any => {
                BOTH.iter().any(|way| set.contains(self.source(*way)) || set.contains(self.destination(*way)))
            }
        }
    }

    #[inline]
    fn holds_number(&self, field: NumberField, values: &Ranges<u64>) -> bool {
        let within = |number: Option<u64>| number.is_some_and(|number| values.contains(number));
        match field {
            NumberField::Port => BOTH.iter().any(|way| {
                let layer4 = self.layer4(*way);
                within(source_port(layer4)) || within(destination_port(layer4))
            }),
            NumberField::ZoneEither => BOTH.iter().any(|way| within(Some(self.zone(*way).into()))),
            field => within(self.number(field)),
        }
    }

    #[inline]
    fn number(&self, field: NumberField) -> Option<u64> {
        match field {
            NumberField::Family => Some(Family::of(self.source(Direction::Original)).0.into()),
            NumberField::Protocol => Some(self.protocol().0.into()),
            NumberField::SourcePort => source_port(self.layer4(Direction::Original)),
            NumberField::DestinationPort => destination_port(self.layer4(Direction::Original)),
            NumberField::ReplySourcePort => source_port(self.layer4(Direction::Reply)),
            NumberField::ReplyDestinationPort => destination_port(self.layer4(Direction::Reply)),
            NumberField::Id => self.subject.id().map(u64::from),
            NumberField::Timeout => self.subject.timeout().map(u64::from),
            field => self.rarer_number(field),
        }
    }

    fn rarer_number(&self, field: NumberField) -> Option<u64> {
        match field {
            NumberField::SourceKey => Some(keys(self.layer4(Direction::Original))?.0),
            NumberField::DestinationKey => Some(keys(self.layer4(Direction::Original))?.1),
            NumberField::ReplySourceKey => Some(keys(self.layer4(Direction::Reply))?.0),
            NumberField::ReplyDestinationKey => Some(keys(self.layer4(Direction::Reply))?.1),
            NumberField::IcmpType => Some(self.query()?.0.into()),
            NumberField::IcmpCode => Some(self.query()?.1.into()),
            NumberField::IcmpId => Some(self.query()?.2.into()),
            NumberField::ZoneOriginal => Some(self.zone(Direction::Original).into()),
            NumberField::ZoneReply => Some(self.zone(Direction::Reply).into()),
            NumberField::Zone => {
                let zone = self.zone(Direction::Original);
                (zone == self.zone(Direction::Reply)).then_some(zone.into())
            }
            NumberField::Age => self.age(),
            NumberField::Packets => Some(self.counters()?.packets),
            NumberField::Bytes => Some(self.counters()?.bytes),
            NumberField::PacketsOriginal => Some(self.subject.counters_original()?.packets),
            NumberField::BytesOriginal => Some(self.subject.counters_original()?.bytes),
            NumberField::PacketsReply => Some(self.subject.counters_reply()?.packets),
            NumberField::BytesReply => Some(self.subject.counters_reply()?.bytes),
            field => self.protocol_number(field),
        }
    }

    /// Numbers that the tracker of the protocol provides.
    fn protocol_number(&self, field: NumberField) -> Option<u64> {
        let info = self.subject.protocol_info()?;
        match field {
            NumberField::TcpState => Some(info.tcp()?.state?.0.into()),
            NumberField::SctpState => Some(info.sctp()?.state?.0.into()),
            NumberField::DccpState => Some(info.dccp()?.state?.0.into()),
            NumberField::DccpRole => Some(info.dccp()?.role?.0.into()),
            NumberField::TagOriginal => Some(info.sctp()?.verification_tag_original?.into()),
            NumberField::TagReply => Some(info.sctp()?.verification_tag_reply?.into()),
            _ => None,
        }
    }

    fn query(&self) -> Option<(u8, u8, u16)> {
        let layer4 = self.layer4(Direction::Original);
        if let Layer4::Icmp { icmp_type, code, id } = layer4 { Some((icmp_type, code, id)) } else { None }
    }

    fn counters(&self) -> Option<Counters> {
        match (self.subject.counters_original(), self.subject.counters_reply()) {
            (Some(original), Some(reply)) => Some(original + reply),
            (one, None) | (None, one) => one,
        }
    }

    fn age(&self) -> Option<u64> {
        let times = self.subject.times()?;
        let start = times.start?;
        let end = times.stop.unwrap_or_else(|| *self.now.get_or_init(Timestamp::now));
        // A difference of whole seconds, like the one that conntrack(8) prints.
        Some(end.seconds().saturating_sub(start.seconds()))
    }

    fn holds_translation(&self, side: Side, to: &Translation) -> bool {
        let (original, reply) = (self.tuple(Direction::Original), self.tuple(Direction::Reply));
        let holds = |end: Option<Endpoint>| end.is_some_and(|end| to.contains(end));
        let source = || holds(nat::snat(original, reply));
        let destination = || holds(nat::dnat(original, reply));
        match side {
            Side::Source => source(),
            Side::Destination => destination(),
            Side::Either => source() || destination(),
        }
    }
}

fn source_port(layer4: Layer4) -> Option<u64> {
    if let Layer4::Ports { source, .. } = layer4 { Some(source.into()) } else { None }
}

fn destination_port(layer4: Layer4) -> Option<u64> {
    if let Layer4::Ports { destination, .. } = layer4 { Some(destination.into()) } else { None }
}

fn keys(layer4: Layer4) -> Option<(u64, u64)> {
    if let Layer4::Gre(GreKeys { source, destination }) = layer4 {
        Some((source.into(), destination.into()))
    } else {
        None
    }
}

/// The comparisons of a filter in the order in which they are made.
///
/// Each names the step that follows if it holds and the step that follows if it fails: a later comparison,
/// [`Program::ACCEPT`] or [`Program::REJECT`]. The invariant is that jumps only go forward, so every evaluation ends. It
/// needs no stack, so a filter may be nested to any depth. Read from its end, the same list becomes a program for
/// sockets.
#[derive(Clone, Debug)]
pub(super) struct Program {
    start: usize,
    steps: Vec<Comparison>,
}

/// A comparison and the steps that may follow it.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) term: Arc<Term>,
    /// Whether the filter requires that the term does not hold.
    pub(super) negated: bool,
    /// The next step if the term holds.
    pub(super) holds: usize,
    /// The next step if it does not hold.
    pub(super) fails: usize,
}

/// The group whose parts are being written, and the steps that follow the group.
struct Frame {
    all: bool,
    satisfied: usize,
    violated: usize,
}

impl Frame {
    /// The steps that follow a part of the group if it is satisfied and if it is violated. `next` is the next part.
    const fn targets(&self, next: usize) -> (usize, usize) {
        if self.all { (next, self.violated) } else { (self.satisfied, next) }
    }
}

impl Program {
    /// Beyond every step: the flow matches.
    pub(super) const ACCEPT: usize = usize::MAX;
    /// Beyond every step: the flow does not match.
    pub(super) const REJECT: usize = usize::MAX - 1;

    /// Writes the program from its last step to its first: when a jump is written, its target is known.
    pub(super) fn new(expression: &Expression, mut negated: bool) -> Self {
        let mut reversed: Vec<Comparison> = Vec::new();
        let mut outer = Vec::new();
        let mut frame = Frame { all: true, satisfied: Self::ACCEPT, violated: Self::REJECT };
        // Until all steps exist, they are counted from the end.
        let mut next = Self::ACCEPT;
        for visit in expression.walk_back() {
            let (satisfied, violated) = frame.targets(next);
            match visit {
                Visit::Enter(Connective::Not) | Visit::Leave(Connective::Not) => negated = !negated,
                Visit::Enter(connective) => {
                    let all = (connective == Connective::All) != negated;
                    outer.push(core::mem::replace(&mut frame, Frame { all, satisfied, violated }));
                    next = if all { satisfied } else { violated };
                }
                Visit::Leave(_) => frame = outer.pop().unwrap_or(frame),
                Visit::Constant(holds) => next = if holds == negated { violated } else { satisfied },
                Visit::Term(term) => {
                    let (holds, fails) = if negated { (violated, satisfied) } else { (satisfied, violated) };
                    reversed.push(Comparison { term: Arc::clone(term), negated, holds, fails });
                    next = reversed.len() - 1;
                }
            }
        }
        let count = reversed.len();
        let forward = |target: usize| if target < count { count - 1 - target } else { target };
        reversed.reverse();
        for step in &mut reversed {
            (step.holds, step.fails) = (forward(step.holds), forward(step.fails));
        }
        Self { start: forward(next), steps: reversed }
    }

    pub(super) const fn start(&self) -> usize {
        self.start
    }

    pub(super) fn steps(&self) -> &[Comparison] {
        &self.steps
    }
}
