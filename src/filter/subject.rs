//! What a filter reads of a flow, be it a value or a view.

use super::{evaluate::Evaluation, program::Program};
use crate::model::{
    Counters, Direction, Flow, FlowRef, Labels, Lifetime, ProtocolInfo, Status, Timestamp, Tuple, UsualTuple,
};

/// What a filter can be held against: a [`Flow`] or a [`FlowRef`].
pub trait Subject: Attributes {}

impl Subject for Flow {}
impl Subject for FlowRef<'_> {}

/// The attributes that filters look at.
#[allow(unnameable_types, private_interfaces, reason = "sealed: what a filter looks at, and how, may change")]
pub trait Attributes: Sized {
    /// The tuple, read as a whole.
    fn tuple(&self, direction: Direction) -> Tuple;
    /// The tuple, if each part can be read where it stands.
    fn usual_tuple(&self, direction: Direction) -> Option<UsualTuple<'_>>;
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
    /// Whether the program accepts the flow. Not generic, so that it is compiled in this crate, together with what it reads.
    fn satisfies(&self, program: &Program, now: Option<Timestamp>) -> bool;
}

macro_rules! delegate {
    ($access:ident) => {
        delegate!(
            $access;
            zone: u16, status: Status, timeout: u32, mark: u32, protocol_info: ProtocolInfo,
            counters_original: Counters, counters_reply: Counters, lifetime: Lifetime, labels: Labels, id: u32
        );
    };
    ($access:ident; $($name:ident: $type:ty),*) => {
        $(
            #[inline]
            fn $name(&self) -> Option<$type> {
                $access!(self, $name)
            }
        )*

        fn satisfies(&self, program: &Program, now: Option<Timestamp>) -> bool {
            Evaluation::new(self, now).holds(program)
        }
    };
}

macro_rules! field {
    ($flow:expr, $name:ident) => {
        $flow.$name
    };
}

macro_rules! method {
    ($flow:expr, $name:ident) => {
        FlowRef::$name($flow)
    };
}

#[allow(private_interfaces, reason = "see the trait")]
impl Attributes for Flow {
    fn tuple(&self, direction: Direction) -> Tuple {
        match direction {
            Direction::Original => self.original,
            Direction::Reply => self.reply,
        }
    }

    fn usual_tuple(&self, _: Direction) -> Option<UsualTuple<'_>> {
        None
    }

    fn helper_name(&self) -> Option<&str> {
        self.helper.as_ref().map(|helper| &*helper.name)
    }

    delegate!(field);
}

#[allow(private_interfaces, reason = "see the trait")]
impl Attributes for FlowRef<'_> {
    #[inline]
    fn tuple(&self, direction: Direction) -> Tuple {
        match direction {
            Direction::Original => self.original().to_tuple(),
            Direction::Reply => self.reply().to_tuple(),
        }
    }

    #[inline]
    fn usual_tuple(&self, direction: Direction) -> Option<UsualTuple<'_>> {
        let tuple = match direction {
            Direction::Original => self.original(),
            Direction::Reply => self.reply(),
        };
        UsualTuple::recognise(tuple.attributes().as_bytes())
    }

    fn helper_name(&self) -> Option<&str> {
        self.helper().map(|helper| helper.name)
    }

    delegate!(method);
}
