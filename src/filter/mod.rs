//! Filters that give one answer wherever they run: in the kernel, in the socket, in userspace.
//!
//! A [`Filter`] says which flows are meant. [`Filter::matches`] holds it against a flow; [`Filter::plan`] says what of
//! it the kernel can do during a dump or a flush and what the socket can do before an event is queued. What the kernel
//! would get wrong it is not asked, and what it did filter is held against the whole filter again.
//!
//! # Example
//!
//! ```
//! use ctnetlink::{Filter, Protocol, filter::{Capabilities, Prefix}};
//!
//! let network: Prefix = "10.0.0.0/8".parse()?;
//! let built = Filter::protocol(Protocol::TCP) & Filter::source(network) & !Filter::assured();
//! let written: Filter = "proto tcp and src 10.0.0.0/8 and not assured".parse()?;
//! assert_eq!(built, written);
//!
//! let plan = written.plan(&Capabilities::linux(6, 12));
//! assert_eq!(plan.dumps()[0].to_string(), "ipv4, protocol tcp, status !ASSURED");
//! assert!(!plan.is_exact()); // The prefix is left to userspace.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Absent attributes
//!
//! A message need not carry every attribute: no event but the last has counters, an offloaded flow has no timeout. An
//! absent mark is 0, and a flow without zones is in zone 0. A term on any other attribute that is absent is false, and
//! its negation is true: `timeout >= 30` and `not timeout < 30` differ on a flow without a timeout. There is no third
//! value, so that `not (a and b)` is `not a or not b` always.
//!
//! # Zones
//!
//! A filter without a term on zones matches flows of all zones, and so does what is changed or deleted by it; `zone 0`
//! keeps to those outside any zone.
//!
//! # The language
//!
//! [`Filter`] reads and prints a small language in conntrack(8)'s own words:
//!
//! ```text
//! proto tcp and dport 22 and not assured
//! src 10.0.0.0/8 or mark 0x10/0xff
//! (dst-nat 192.0.2.7 port 80 or label 3) and bytes >= 1000000
//! ```
//!
//! ```text
//! filter     = all { "or" all }
//! all        = factor { "and" factor }
//! factor     = "not" factor | "(" filter ")" | term
//!
//! term       = "any" | "none"                            every flow, no flow
//!            | "assured" | "unreplied" | "offloaded"
//!            | address prefix { "," prefix }             src dst reply-src reply-dst; addr: any of the four
//!            | number values                             see below
//!            | "state" name { "," name }                 of TCP, SCTP and DCCP
//!            | "status" bit { "," bit }                  ASSURED is set, !ASSURED is not
//!            | "mark" mark { "," mark }                  value, or value/mask
//!            | "label" bit { "," bit }                   all are set
//!            | "any-label" bit { "," bit }               one is set
//!            | "helper" name { "," name }                a name that is no word in quotes
//!            | nat [ prefix { "," prefix } ] [ "port" values ]     src-nat dst-nat any-nat
//!            | "tuple" tuple { "," tuple }
//!
//! values     = value { "," value } | comparison value    comparison: = < <= > >=
//! value      = n | n-n                                   decimal or 0x hexadecimal; where it has one, a name
//! tuple      = protocol end end [ type/code/id | "none" ]    end: address, address:port, [address]:port
//! ```
//!
//! | number | of |
//! |---|---|
//! | `family`, `proto` | `ipv4`, `ipv6`; `tcp`, `udp`, … |
//! | `sport`, `dport`, `reply-port-src`, `reply-port-dst`; `port` | ports; any of the four |
//! | `srckey`, `dstkey`, `reply-key-src`, `reply-key-dst` | GRE keys |
//! | `icmp-type`, `icmp-code`, `icmp-id` | ICMP and ICMPv6, of the request |
//! | `tcp-state`, `sctp-state`, `dccp-state`, `role` | states; the role of a DCCP initiator |
//! | `orig-vtag`, `reply-vtag` | SCTP verification tags |
//! | `zone`, `orig-zone`, `reply-zone`, `any-zone` | the zone of both, of a direction, of either |
//! | `id`, `timeout`, `age` | identifier; seconds, or with `s`, `m`, `h`, `d` behind the number |
//! | `packets`, `bytes`, and each with `orig-` or `reply-` before it | counters of both directions, of one |
//!
//! A tuple names all that its protocol has: ports, keys or a query; `none` is for one that lacks them, as no flow does.
//! An equals sign may go before any values. Words may be in any case. `not` binds tighter than `and`, `and` tighter than `or`. Parentheses and `not` may be
//! 64 deep.

mod address_set;
mod build;
mod capabilities;
mod conjunction;
mod evaluate;
mod expression;
mod fields;
mod kernel;
mod lowering;
mod number_set;
mod plan;
mod prefix;
mod program;
mod ranges;
mod socket;
mod subject;
mod text;
mod translation;
mod tuple_set;

use core::{
    fmt::{self, Debug, Formatter},
    hash::{Hash, Hasher},
    ops::{BitAnd, BitOr, Not},
};
use std::sync::{Arc, OnceLock};

use crate::model::{AnyFlow, Shape, Timestamp};
use evaluate::Evaluation;
use expression::Expression;
use program::Program;

pub use address_set::AddressSet;
pub use capabilities::Capabilities;
pub use kernel::KernelFilter;
pub use number_set::{Number, NumberSet};
pub use plan::Plan;
pub use prefix::Prefix;
pub use socket::{Instruction, SocketFilter};
pub use text::ParseFilterError;
pub use translation::Translation;

/// Which flows are meant.
///
/// Made of terms (the constructors), `&`, `|` and `!`; or read from text, whose language the
/// [module](crate::filter) documents. Two filters compare equal if they print the same: order counts, but neither
/// nesting that changes nothing nor how a set was split up.
///
/// Cloning a filter is cheap: clones share everything. A filter that a program builds may be nested to any depth; only
/// text is limited.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, Flow, Tuple};
///
/// let filter: Filter = "proto tcp and dport 22".parse()?;
/// let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
/// let flow = Flow::new(tuple, tuple.inverted().unwrap());
/// assert!(filter.matches(&flow));
///
/// let error = "proto tcp and dprot 22".parse::<Filter>().unwrap_err();
/// assert_eq!(error.column(), 15);
/// assert_eq!(error.to_string(), "column 15: `dprot` is no word of the filter language: did you mean `dport`?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Filter {
    inner: Arc<Inner>,
}

struct Inner {
    expression: Expression,
    /// What is evaluated, made when it is first needed.
    program: OnceLock<Program>,
}

impl Filter {
    /// Every flow.
    ///
    /// In text `any`.
    #[must_use]
    pub fn everything() -> Self {
        Self::from_expression(Expression::Everything)
    }

    /// No flow.
    ///
    /// In text `none`.
    #[must_use]
    pub fn nothing() -> Self {
        Self::from_expression(Expression::Nothing)
    }

    /// Whether the filter asks for nothing at all, so that every flow matches.
    ///
    /// A delete that takes a filter refuses this one. Terms that every flow happens to satisfy are not looked through.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.inner.expression.is_everything()
    }

    /// Each of the filters; of none, every flow.
    #[must_use]
    pub fn all_of(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::from_expression(Expression::all(filters.into_iter().map(Self::into_expression)))
    }

    /// At least one of the filters; of none, no flow.
    ///
    /// Terms on one field become one set, so that an address is searched, not compared, among ten thousand.
    #[must_use]
    pub fn any_of(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::from_expression(Expression::any(filters.into_iter().map(Self::into_expression)))
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::all_of([self, other])
    }

    /// One or the other, or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::any_of([self, other])
    }

    /// Whether the flow is one of those meant. Allocates nothing.
    ///
    /// Where the filter asks for an age, the present is read from the clock.
    #[must_use]
    #[inline]
    pub fn matches(&self, flow: &impl AnyFlow) -> bool {
        self.holds(flow.shape(), None)
    }

    /// As [`matches`](Self::matches), at a given time.
    #[must_use]
    #[inline]
    pub fn matches_at(&self, flow: &impl AnyFlow, now: Timestamp) -> bool {
        self.holds(flow.shape(), Some(now))
    }

    /// Not generic, and so compiled in this crate, together with the accessors that it inlines.
    fn holds(&self, flow: Shape<'_>, now: Option<Timestamp>) -> bool {
        match flow {
            Shape::Value(flow) => Evaluation::new(flow, now).holds(self.program()),
            Shape::View(flow) => Evaluation::new(flow, now).holds(self.program()),
            Shape::Other(flow) => Evaluation::new(flow, now).holds(self.program()),
        }
    }

    /// What of the filter a kernel that can do this does itself.
    #[must_use]
    pub fn plan(&self, capabilities: &Capabilities) -> Plan<'_> {
        Plan::new(self, capabilities)
    }

    fn from_expression(expression: Expression) -> Self {
        Self { inner: Arc::new(Inner { expression, program: OnceLock::new() }) }
    }

    /// The tree: the filter's own, or a shallow copy if clones of the filter share it.
    fn into_expression(self) -> Expression {
        Arc::try_unwrap(self.inner).map_or_else(|shared| shared.expression.clone(), |inner| inner.expression)
    }

    fn expression(&self) -> &Expression {
        &self.inner.expression
    }

    #[inline]
    fn program(&self) -> &Program {
        self.inner.program.get_or_init(|| Program::new(&self.inner.expression, false))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) || self.expression() == other.expression()
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expression().hash(state);
    }
}

impl Debug for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({self})")
    }
}

impl BitAnd for Filter {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.and(other)
    }
}

impl BitOr for Filter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::from_expression(self.into_expression().negated())
    }
}
