//! The constructors of filters that look neither at an address nor at a number.

use super::{
    Filter, Translation,
    expression::{Expression, Masked, Side, Term},
    tuple_set::TupleSet,
};
use crate::model::{Labels, Status, Tuple};

/// # Bits
impl Filter {
    /// All of these status bits are set.
    ///
    /// In text `status SEEN_REPLY,ASSURED`.
    #[must_use]
    pub fn status_set(bits: Status) -> Self {
        Self::status_bits(bits.bits(), bits.bits())
    }

    /// None of these status bits is set.
    ///
    /// In text `status !SEEN_REPLY,!ASSURED`.
    #[must_use]
    pub fn status_unset(bits: Status) -> Self {
        Self::status_bits(0, bits.bits())
    }

    pub(super) fn status_bits(value: u32, mask: u32) -> Self {
        Self::masked(Masked::new(value, mask), Term::Status)
    }

    /// The flow is kept when the table is full.
    ///
    /// In text `assured`.
    #[must_use]
    pub fn assured() -> Self {
        Self::status_set(Status::ASSURED)
    }

    /// No answer was seen.
    ///
    /// In text `unreplied`.
    #[must_use]
    pub fn unreplied() -> Self {
        Self::status_unset(Status::SEEN_REPLY)
    }

    /// A flow table or hardware carries the flow past the tracker.
    ///
    /// In text `offloaded`, short for `status OFFLOAD or status HW_OFFLOAD`.
    #[must_use]
    pub fn offloaded() -> Self {
        Self::status_set(Status::OFFLOAD) | Self::status_set(Status::HW_OFFLOAD)
    }

    /// The mark is this one; a flow without a mark has mark 0.
    ///
    /// In text `mark 0x10`.
    #[must_use]
    pub fn mark(value: u32) -> Self {
        Self::mark_masked(value, u32::MAX)
    }

    /// The bits of the mark in `mask` are those of `value`: `mark & mask == value`, as in the kernel. A value with bits
    /// outside the mask matches nothing.
    ///
    /// In text `mark 0x10/0xff`.
    #[must_use]
    pub fn mark_masked(value: u32, mask: u32) -> Self {
        Self::masked(Masked::new(value, mask), Term::Mark)
    }

    fn masked(bits: Option<Masked>, term: impl FnOnce(Masked) -> Term) -> Self {
        bits.map_or(Self::nothing(), |bits| Self::from_term(term(bits)))
    }

    /// All of these labels are set.
    ///
    /// In text `label 3,5`.
    #[must_use]
    pub fn all_labels(labels: Labels) -> Self {
        Self::from_term(Term::AllLabels(labels))
    }

    /// At least one of these labels is set.
    ///
    /// In text `any-label 3,5`.
    #[must_use]
    pub fn any_label(labels: Labels) -> Self {
        Self::from_term(Term::AnyLabel(labels))
    }
}

/// # Helper, NAT, tuples
impl Filter {
    /// The helper has this name.
    ///
    /// In text `helper ftp`.
    #[must_use]
    pub fn helper(name: &str) -> Self {
        Self::from_term(Term::Helper([name.into()].into()))
    }

    /// The source is translated, to one of these. Told from the tuples, as
    /// [`Flow::snat`](crate::Flow::snat) does.
    ///
    /// In text `src-nat`, `src-nat 192.0.2.1`, `src-nat 192.0.2.1 port 1024-65535`.
    #[must_use]
    pub fn source_nat(to: Translation) -> Self {
        Self::from_term(Term::Nat { side: Side::Source, to })
    }

    /// The destination is translated, to one of these.
    ///
    /// In text `dst-nat`.
    #[must_use]
    pub fn destination_nat(to: Translation) -> Self {
        Self::from_term(Term::Nat { side: Side::Destination, to })
    }

    /// The source is translated to one of these, or the destination is.
    ///
    /// In text `any-nat`.
    #[must_use]
    pub fn nat(to: Translation) -> Self {
        Self::from_term(Term::Nat { side: Side::Either, to })
    }

    /// The original tuple is one of these; zones are not looked at.
    ///
    /// In text `tuple tcp 10.0.0.1:40000 10.0.0.2:22`, `tuple icmp 10.0.0.1 10.0.0.2 8/0/77` (type, code, identifier).
    #[must_use]
    pub fn tuples(tuples: impl IntoIterator<Item = Tuple>) -> Self {
        // AddressSet of two families are no tuple, and no flow has them.
        let sound = tuples.into_iter().filter(|tuple| tuple.source.is_ipv4() == tuple.destination.is_ipv4());
        Self::from_term(Term::Tuple(TupleSet::new(sound)))
    }

    pub(super) fn from_term(term: Term) -> Self {
        Self::from_expression(Expression::term(term))
    }
}
