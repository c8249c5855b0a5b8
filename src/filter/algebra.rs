//! The type `Filter`, and filters made from other filters.

use core::{
    fmt::{self, Debug, Formatter},
    hash::{Hash, Hasher},
    mem,
    ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not},
};
use std::sync::{Arc, OnceLock};

use super::{
    evaluate::{self, Program},
    expression::{Expression, Term},
};
use crate::model::{AnyFlow, Timestamp};

/// A predicate over flows.
///
/// A filter is a term, such as [`Filter::source_port`], or a combination of filters with `&`, `|` and `!`. It is also
/// read from text, in the language that the [module](crate::filter#the-language) documents, and printed in it.
///
/// Cloning a filter is cheap, since clones share everything. A filter that a program builds may have any number of terms
/// and any depth.
///
/// Two filters are equal if they print the same. The order of terms is significant; redundant nesting and the way in
/// which a set of values was assembled are not.
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
/// assert_eq!(error.to_string(), "column 15: unknown keyword `dprot`; did you mean `dport`?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Filter {
    inner: Arc<Inner>,
}

struct Inner {
    expression: Expression,
    /// What is evaluated. Compiled on first use.
    program: OnceLock<Program>,
}

impl Filter {
    /// Matches every flow.
    ///
    /// In the filter language: `any`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// assert_eq!(Filter::everything() & Filter::assured(), Filter::assured());
    /// ```
    #[must_use]
    pub fn everything() -> Self {
        Self::from_expression(Expression::Everything)
    }

    /// Matches no flow.
    ///
    /// In the filter language: `none`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// assert_eq!(Filter::nothing() | Filter::assured(), Filter::assured());
    /// ```
    #[must_use]
    pub fn nothing() -> Self {
        Self::from_expression(Expression::Nothing)
    }

    /// Returns whether the filter has no condition at all. Every flow matches it.
    ///
    /// [`Client::delete_matching`](crate::Client::delete_matching) refuses such a filter. A filter whose conditions happen
    /// to hold for every flow, such as `proto 0-255` or `assured or not assured`, is not recognized.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// assert!(Filter::all_of([]).is_everything());
    /// assert!("mark 0/0".parse::<Filter>()?.is_everything());
    /// assert!(!Filter::assured().is_everything());
    /// # Ok::<(), ctnetlink::filter::ParseFilterError>(())
    /// ```
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.inner.expression.is_everything()
    }

    /// Matches flows that match every filter. An empty list matches every flow.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// let filter = Filter::all_of([Filter::assured(), Filter::destination_port(22), Filter::zone(0)]);
    /// assert_eq!(filter.to_string(), "assured and dport 22 and zone 0");
    /// ```
    #[must_use]
    pub fn all_of(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::from_expression(Expression::all(filters.into_iter().map(Self::into_expression)))
    }

    /// Matches flows that match at least one of the filters. An empty list matches no flow.
    ///
    /// Terms on one field become one set: an address among ten thousand is searched, not compared with each. An iterator
    /// over filters also collects into this filter.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// let filter = Filter::any_of([Filter::destination_port(22), Filter::mark(1), Filter::destination_port(80)]);
    /// assert_eq!(filter.to_string(), "dport 22,80 or mark 0x1");
    ///
    /// let filter: Filter = [22, 80].into_iter().map(Filter::destination_port).collect();
    /// assert_eq!(filter.to_string(), "dport 22,80");
    /// ```
    #[must_use]
    pub fn any_of(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::from_expression(Expression::any(filters.into_iter().map(Self::into_expression)))
    }

    /// Returns whether the flow matches. Does not allocate, except that the first evaluation of a filter compiles it.
    ///
    /// If the filter compares ages of living flows, the clock is read.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Flow, Tuple};
    ///
    /// let tuple = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
    /// let flow = Flow::new(tuple, tuple.inverted().unwrap());
    /// assert!(Filter::destination_port(53).matches(&flow));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn matches(&self, flow: &(impl AnyFlow + ?Sized)) -> bool {
        evaluate::accepts(self.program(), flow.shape(), None)
    }

    /// Returns whether the flow matches at a given time, from which the age of a living flow is computed.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Flow, FlowTimes, Timestamp, Tuple};
    ///
    /// let tuple = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
    /// let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
    /// let second = 1_000_000_000;
    /// flow.times = Some(FlowTimes::new(Timestamp(100 * second), None));
    /// assert!(Filter::age(60..).matches_at(&flow, Timestamp(160 * second)));
    /// assert!(!Filter::age(60..).matches_at(&flow, Timestamp(159 * second)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn matches_at(&self, flow: &(impl AnyFlow + ?Sized), now: Timestamp) -> bool {
        evaluate::accepts(self.program(), flow.shape(), Some(now))
    }

    pub(super) fn from_term(term: Term) -> Self {
        Self::from_expression(Expression::term(term))
    }

    fn from_expression(expression: Expression) -> Self {
        Self { inner: Arc::new(Inner { expression, program: OnceLock::new() }) }
    }

    /// Returns the tree: the filter's own, or a shallow copy if clones of the filter share it.
    fn into_expression(self) -> Expression {
        Arc::try_unwrap(self.inner).map_or_else(|shared| shared.expression.clone(), |inner| inner.expression)
    }

    pub(super) fn expression(&self) -> &Expression {
        &self.inner.expression
    }

    #[inline]
    pub(super) fn program(&self) -> &Program {
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

/// Operators on filters and on references to filters, which are cloned.
macro_rules! binary_operators {
    ($($operator:ident::$apply:ident, $assign:ident::$apply_in_place:ident => $constructor:ident;)*) => { $(
        impl $operator for Filter {
            type Output = Self;

            fn $apply(self, other: Self) -> Self {
                Self::$constructor([self, other])
            }
        }

        impl $operator<&Self> for Filter {
            type Output = Self;

            fn $apply(self, other: &Self) -> Self {
                Self::$constructor([self, other.clone()])
            }
        }

        impl $operator<Filter> for &Filter {
            type Output = Filter;

            fn $apply(self, other: Filter) -> Filter {
                Filter::$constructor([self.clone(), other])
            }
        }

        impl $operator for &Filter {
            type Output = Filter;

            fn $apply(self, other: Self) -> Filter {
                Filter::$constructor([self.clone(), other.clone()])
            }
        }

        impl $assign for Filter {
            fn $apply_in_place(&mut self, other: Self) {
                // Taken, not cloned: the tree is not shared, and is extended in place.
                *self = Self::$constructor([mem::replace(self, Self::nothing()), other]);
            }
        }

        impl $assign<&Self> for Filter {
            fn $apply_in_place(&mut self, other: &Self) {
                self.$apply_in_place(other.clone());
            }
        }
    )* };
}

binary_operators! {
    BitAnd::bitand, BitAndAssign::bitand_assign => all_of;
    BitOr::bitor, BitOrAssign::bitor_assign => any_of;
}

impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::from_expression(self.into_expression().negated())
    }
}

impl Not for &Filter {
    type Output = Filter;

    fn not(self) -> Filter {
        !self.clone()
    }
}

impl FromIterator<Self> for Filter {
    /// Collects into [`any_of`](Self::any_of) the filters: an empty iterator makes a filter that matches no flow.
    fn from_iter<I: IntoIterator<Item = Self>>(filters: I) -> Self {
        Self::any_of(filters)
    }
}
