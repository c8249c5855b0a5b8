//! The constructors of filters.

use core::borrow::Borrow;

use super::{
    AddressSet, Filter, NumberSet, Translation,
    expression::{Masked, Side, Term},
    fields::{AddressField, NumberField, number_fields},
    sets::TupleSet,
};
use crate::model::{DccpRole, DccpState, Family, Labels, Protocol, SctpState, Status, TcpState, Tuple};

/// # Addresses
///
/// Each takes one address or [`Prefix`](crate::Prefix), or a collection of them: see [`AddressSet`].
impl Filter {
    /// Matches flows by the source address of the original direction, the address of the initiator.
    ///
    /// In the filter language: `src`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Prefix};
    ///
    /// let network: Prefix = "10.0.0.0/8".parse()?;
    /// assert_eq!(Filter::source(network).to_string(), "src 10.0.0.0/8");
    /// # Ok::<(), ctnetlink::ParseError>(())
    /// ```
    #[must_use]
    pub fn source(addresses: impl Into<AddressSet>) -> Self {
        Self::address(AddressField::Source, addresses.into())
    }

    /// Matches flows by the destination address of the original direction, before any translation.
    ///
    /// In the filter language: `dst`.
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use ctnetlink::Filter;
    ///
    /// let servers = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 9)];
    /// assert_eq!(Filter::destination(servers).to_string(), "dst 10.0.0.1,10.0.0.9");
    /// ```
    #[must_use]
    pub fn destination(addresses: impl Into<AddressSet>) -> Self {
        Self::address(AddressField::Destination, addresses.into())
    }

    /// Matches flows by the source address of the reply direction.
    ///
    /// After destination NAT, it is the address to which packets are sent, such as the chosen backend of a load
    /// balancer. In the filter language: `reply-src`.
    ///
    /// # Example
    ///
    /// ```
    /// use std::{collections::BTreeSet, net::IpAddr};
    /// use ctnetlink::Filter;
    ///
    /// let dead_endpoints: BTreeSet<IpAddr> = BTreeSet::from(["10.1.0.7".parse()?, "fd00::7".parse()?]);
    /// assert_eq!(Filter::reply_source(&dead_endpoints).to_string(), "reply-src 10.1.0.7,fd00::7");
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn reply_source(addresses: impl Into<AddressSet>) -> Self {
        Self::address(AddressField::ReplySource, addresses.into())
    }

    /// Matches flows by the destination address of the reply direction.
    ///
    /// After source NAT, it is the address from which packets seem to come. In the filter language: `reply-dst`.
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use ctnetlink::Filter;
    ///
    /// assert_eq!(Filter::reply_destination(Ipv4Addr::new(192, 0, 2, 1)).to_string(), "reply-dst 192.0.2.1");
    /// ```
    #[must_use]
    pub fn reply_destination(addresses: impl Into<AddressSet>) -> Self {
        Self::address(AddressField::ReplyDestination, addresses.into())
    }

    /// Matches flows by any of their four addresses: source or destination, of either direction.
    ///
    /// In the filter language: `addr`.
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::Ipv6Addr;
    /// use ctnetlink::Filter;
    ///
    /// assert_eq!(Filter::any_address(Ipv6Addr::LOCALHOST).to_string(), "addr ::1");
    /// ```
    #[must_use]
    pub fn any_address(addresses: impl Into<AddressSet>) -> Self {
        Self::address(AddressField::Any, addresses.into())
    }

    fn address(field: AddressField, set: AddressSet) -> Self {
        Self::from_term(Term::Address { field, set })
    }
}

macro_rules! number_constructors {
    ( $( $(#[$meta:meta])* $field:ident = $keyword:literal, $constructor:ident($type:ty as $values:ty),
         $example:literal => $text:literal; )* ) => {
        /// # Numbers
        ///
        /// Each takes one number, a range, or a collection of numbers: see [`NumberSet`].
        impl Filter {
            $(
                $(#[$meta])*
                #[doc = ""]
                #[doc = concat!("In the filter language: `", $keyword, "`.")]
                #[doc = ""]
                #[doc = "# Example"]
                #[doc = ""]
                #[doc = "```"]
                #[doc = "use ctnetlink::Filter;"]
                #[doc = ""]
                #[doc = concat!("let filter = Filter::", stringify!($constructor), "(", $example, ");")]
                #[doc = concat!("assert_eq!(filter.to_string(), \"", $keyword, " ", $text, "\");")]
                #[doc = "```"]
                #[must_use]
                pub fn $constructor(values: impl Into<NumberSet<$type>>) -> Self {
                    Self::from_term(Term::Number {
                        field: NumberField::$field,
                        values: values.into().into_ranges(),
                    })
                }
            )*
        }
    };
}

number_fields!(number_constructors);

/// # Bits
impl Filter {
    /// Matches flows that have all of these status bits.
    ///
    /// In the filter language: `status SEEN_REPLY,ASSURED`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Status};
    ///
    /// let filter = Filter::status_set(Status::SEEN_REPLY | Status::ASSURED);
    /// assert_eq!(filter.to_string(), "status SEEN_REPLY,ASSURED");
    /// ```
    #[must_use]
    pub fn status_set(bits: Status) -> Self {
        Self::status_bits(bits.bits(), bits.bits())
    }

    /// Matches flows that have none of these status bits.
    ///
    /// A flow whose status is unknown does not match. In the filter language: `status !SEEN_REPLY,!ASSURED`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Status};
    ///
    /// let filter = Filter::status_set(Status::SEEN_REPLY) & Filter::status_unset(Status::ASSURED);
    /// assert_eq!(filter.to_string(), "status SEEN_REPLY and status !ASSURED");
    /// ```
    #[must_use]
    pub fn status_unset(bits: Status) -> Self {
        Self::status_bits(0, bits.bits())
    }

    pub(super) fn status_bits(value: u32, mask: u32) -> Self {
        Self::masked(Masked::new(value, mask), Term::Status)
    }

    /// Matches flows that the kernel keeps when the table is full, since they are seen to carry traffic in both
    /// directions.
    ///
    /// In the filter language: `assured`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Status};
    ///
    /// assert_eq!(Filter::assured(), Filter::status_set(Status::ASSURED));
    /// ```
    #[must_use]
    pub fn assured() -> Self {
        Self::status_set(Status::ASSURED)
    }

    /// Matches flows without a packet in the reply direction.
    ///
    /// In the filter language: `unreplied`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Status};
    ///
    /// assert_eq!(Filter::unreplied(), Filter::status_unset(Status::SEEN_REPLY));
    /// ```
    #[must_use]
    pub fn unreplied() -> Self {
        Self::status_unset(Status::SEEN_REPLY)
    }

    /// Matches flows whose packets bypass connection tracking, in a flow table or in hardware.
    ///
    /// In the filter language: `offloaded`, which is short for `status OFFLOAD or status HW_OFFLOAD`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// assert_eq!("offloaded".parse::<Filter>()?, Filter::offloaded());
    /// # Ok::<(), ctnetlink::filter::ParseFilterError>(())
    /// ```
    #[must_use]
    pub fn offloaded() -> Self {
        Self::status_set(Status::OFFLOAD) | Self::status_set(Status::HW_OFFLOAD)
    }

    /// Matches flows with this mark. A flow without a mark has mark 0.
    ///
    /// In the filter language: `mark 0x10`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// assert_eq!(Filter::mark(16).to_string(), "mark 0x10");
    /// ```
    #[must_use]
    pub fn mark(value: u32) -> Self {
        Self::mark_masked(value, u32::MAX)
    }

    /// Matches flows by some bits of their mark: `mark & mask == value`.
    ///
    /// If `value` has a bit outside the mask, no flow matches. In the filter language: `mark 0x10/0xff`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// assert_eq!(Filter::mark_masked(0x10, 0xff).to_string(), "mark 0x10/0xff");
    /// assert_eq!(Filter::mark_masked(0x110, 0xff), Filter::nothing());
    /// ```
    #[must_use]
    pub fn mark_masked(value: u32, mask: u32) -> Self {
        Self::masked(Masked::new(value, mask), Term::Mark)
    }

    fn masked(bits: Option<Masked>, term: impl FnOnce(Masked) -> Term) -> Self {
        bits.map_or(Self::nothing(), |bits| Self::from_term(term(bits)))
    }

    /// Matches flows that have all of these labels.
    ///
    /// In the filter language: `label 3,5`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Labels};
    ///
    /// assert_eq!(Filter::all_labels(Labels::default().with(3).with(5)).to_string(), "label 3,5");
    /// ```
    #[must_use]
    pub fn all_labels(labels: Labels) -> Self {
        Self::from_term(Term::AllLabels(labels))
    }

    /// Matches flows that have at least one of these labels.
    ///
    /// In the filter language: `any-label 3,5`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Labels};
    ///
    /// assert_eq!(Filter::any_label(Labels::default().with(3).with(5)).to_string(), "any-label 3,5");
    /// ```
    #[must_use]
    pub fn any_label(labels: Labels) -> Self {
        Self::from_term(Term::AnyLabel(labels))
    }
}

/// # Helpers, NAT, tuples
impl Filter {
    /// Matches flows with the helper of this name.
    ///
    /// In the filter language: `helper ftp`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Filter;
    ///
    /// assert_eq!((Filter::helper("ftp") | Filter::helper("sip")).to_string(), "helper ftp,sip");
    /// ```
    #[must_use]
    pub fn helper(name: &str) -> Self {
        Self::from_term(Term::Helper([name.into()].into()))
    }

    /// Matches flows whose source is translated to one of these addresses and ports.
    ///
    /// A translation is recognized by comparing the tuples: the flow's reply direction then has another destination
    /// than the source of its original direction. In the filter language: `src-nat`, `src-nat 192.0.2.1`,
    /// `src-nat 192.0.2.1 port 1024-65535`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, filter::Translation};
    ///
    /// assert_eq!(Filter::source_nat(Translation::any().port(1024..=2047)).to_string(), "src-nat port 1024-2047");
    /// ```
    #[must_use]
    pub fn source_nat(to: Translation) -> Self {
        Self::from_term(Term::Nat { side: Side::Source, to })
    }

    /// Matches flows whose destination is translated to one of these addresses and ports.
    ///
    /// In the filter language: `dst-nat`, with the same arguments as `src-nat`.
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use ctnetlink::{Filter, filter::Translation};
    ///
    /// let backend = Translation::to(Ipv4Addr::new(10, 0, 0, 7)).port(8080);
    /// assert_eq!(Filter::destination_nat(backend).to_string(), "dst-nat 10.0.0.7 port 8080");
    /// ```
    #[must_use]
    pub fn destination_nat(to: Translation) -> Self {
        Self::from_term(Term::Nat { side: Side::Destination, to })
    }

    /// Matches flows whose source or destination is translated to one of these addresses and ports.
    ///
    /// In the filter language: `any-nat`, with the same arguments as `src-nat`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, filter::Translation};
    ///
    /// assert_eq!((!Filter::nat(Translation::any())).to_string(), "not any-nat");
    /// ```
    #[must_use]
    pub fn nat(to: Translation) -> Self {
        Self::from_term(Term::Nat { side: Side::Either, to })
    }

    /// Matches flows whose original tuple is one of these. Zones are ignored.
    ///
    /// Ten thousand tuples are searched, not compared one by one. In the filter language:
    /// `tuple tcp 10.0.0.1:40000 10.0.0.2:22`, `tuple icmp 10.0.0.1 10.0.0.2 8/0/77`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, Tuple};
    ///
    /// let ssh = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
    /// assert_eq!(Filter::tuples([ssh]).to_string(), "tuple tcp 10.0.0.1:40000 10.0.0.2:22");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tuples<T: Borrow<Tuple>>(tuples: impl IntoIterator<Item = T>) -> Self {
        // No flow has addresses of two families.
        let is_possible = |tuple: &Tuple| tuple.source.is_ipv4() == tuple.destination.is_ipv4();
        let tuples = tuples.into_iter().map(|tuple| *tuple.borrow()).filter(is_possible);
        Self::from_term(Term::Tuple(TupleSet::new(tuples)))
    }
}
