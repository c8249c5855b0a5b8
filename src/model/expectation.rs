//! Expectations: flows that a helper expects.

use super::{Direction, Tuple, TupleRef};
use crate::{
    error::DecodeError,
    macros::{flag_text, read_attributes},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_EXPECT_CLASS, CTA_EXPECT_FLAGS, CTA_EXPECT_FN, CTA_EXPECT_HELP_NAME,
        CTA_EXPECT_ID, CTA_EXPECT_MASK, CTA_EXPECT_MASTER, CTA_EXPECT_NAT, CTA_EXPECT_NAT_DIR, CTA_EXPECT_NAT_TUPLE,
        CTA_EXPECT_TIMEOUT, CTA_EXPECT_TUPLE, CTA_EXPECT_ZONE, Encode, Encoder, Family, MessageType, RawMessage,
    },
};

bitflags::bitflags! {
    /// The flags of an expectation (`NF_CT_EXPECT_*`).
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::ExpectationFlags;
    ///
    /// let flags = ExpectationFlags::PERMANENT | ExpectationFlags::INACTIVE;
    /// assert!(flags.contains(ExpectationFlags::PERMANENT));
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ExpectationFlags: u32 {
        /// The expectation stays after the first flow that matches it.
        #[doc(alias = "NF_CT_EXPECT_PERMANENT")]
        const PERMANENT = 1;
        /// The expectation does not take effect yet.
        #[doc(alias = "NF_CT_EXPECT_INACTIVE")]
        const INACTIVE = 2;
        /// A helper in userspace made the expectation.
        #[doc(alias = "NF_CT_EXPECT_USERSPACE")]
        const USERSPACE = 4;
        const _ = !0;
    }
}

flag_text!(ExpectationFlags as "an expectation flag");

/// The translation that an expected flow will get (`CTA_EXPECT_NAT`).
///
/// # Example
///
/// ```
/// use ctnetlink::{Direction, ExpectationNat, Tuple};
///
/// // The source that the master had before its translation.
/// let tuple = Tuple::tcp("10.0.0.8:0".parse()?, "0.0.0.0:0".parse()?);
/// let nat = ExpectationNat { direction: Direction::Original, tuple };
/// assert_eq!(nat.tuple.source, std::net::Ipv4Addr::new(10, 0, 0, 8));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "the kernel asks for both and has no other")]
pub struct ExpectationNat {
    /// The direction of the master that the expected flow goes against (`CTA_EXPECT_NAT_DIR`).
    pub direction: Direction,
    /// The saved source address and port (`CTA_EXPECT_NAT_TUPLE`).
    pub tuple: Tuple,
}

impl ExpectationNat {
    fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::ExpectationNat, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_EXPECT_NAT_DIR => direction = Attribute::u32,
            CTA_EXPECT_NAT_TUPLE => tuple = Tuple::read,
        );
        let direction = match direction.ok_or_else(|| attributes.missing(CTA_EXPECT_NAT_DIR))? {
            0 => Direction::Original,
            _ => Direction::Reply,
        };
        let tuple = tuple.ok_or_else(|| attributes.missing(CTA_EXPECT_NAT_TUPLE))?;
        Ok(Self { direction, tuple })
    }
}

impl Encode for ExpectationNat {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.u32(CTA_EXPECT_NAT_DIR, self.direction as u32);
        encoder.nested(CTA_EXPECT_NAT_TUPLE, &self.tuple);
    }
}

/// A flow that a helper expects: for example, the data connection of an FTP session.
///
/// A new flow that matches `tuple` under `mask` becomes related to the master. Source: `struct nf_conntrack_expect`.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{Client, request::DumpExpectations};
///
/// let mut client = Client::open()?;
/// for expectation in client.dump_expectations(&DumpExpectations::all())? {
///     let expectation = expectation?;
///     println!("{:?} expects {}", expectation.helper, expectation.tuple.destination);
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[non_exhaustive]
pub struct Expectation {
    /// The original tuple of the flow whose helper expects it (`CTA_EXPECT_MASTER`).
    pub master: Tuple,
    /// The expected tuple (`CTA_EXPECT_TUPLE`).
    pub tuple: Tuple,
    /// The bits of the tuple's source address and port that must match (`CTA_EXPECT_MASK`). All bits of the destination
    /// must match.
    pub mask: Tuple,
    /// Seconds until the expectation ends (`CTA_EXPECT_TIMEOUT`). The kernel ignores it on create and takes the
    /// helper's.
    #[cfg_attr(feature = "serde", serde(default))]
    pub timeout: Option<u32>,
    /// An opaque identifier (`CTA_EXPECT_ID`).
    #[cfg_attr(feature = "serde", serde(default))]
    pub id: Option<u32>,
    /// The name of the helper (`CTA_EXPECT_HELP_NAME`). Kernels of 2026 and later ignore it on create.
    #[cfg_attr(feature = "serde", serde(default))]
    pub helper: Option<Box<str>>,
    /// The zone (`CTA_EXPECT_ZONE`). Accepted in requests, never sent by the kernel.
    #[cfg_attr(feature = "serde", serde(default))]
    pub zone: Option<u16>,
    /// Flags (`CTA_EXPECT_FLAGS`). The kernel strips `USERSPACE` on create.
    #[cfg_attr(feature = "serde", serde(default))]
    pub flags: Option<ExpectationFlags>,
    /// The helper's class of expectation, 0 and up (`CTA_EXPECT_CLASS`; for SIP: signalling, audio, video, image).
    #[cfg_attr(feature = "serde", serde(default))]
    pub class: Option<u32>,
    /// The translation that the expected flow will get (`CTA_EXPECT_NAT`).
    #[cfg_attr(feature = "serde", serde(default))]
    pub nat: Option<ExpectationNat>,
    /// The registered function that is called when the flow comes (`CTA_EXPECT_FN`): `nat-follow-master`, `sip`.
    #[cfg_attr(feature = "serde", serde(default))]
    pub function: Option<Box<str>>,
}

#[cfg(feature = "serde")]
crate::macros::serialize_present!(Expectation { master, tuple, mask; timeout, id, helper, zone, flags, class, nat, function });

impl Expectation {
    /// Creates an expectation of the flow `master`: a flow that matches `tuple` under `mask`.
    #[must_use]
    pub const fn new(master: Tuple, tuple: Tuple, mask: Tuple) -> Self {
        Self {
            master,
            tuple,
            mask,
            timeout: None,
            id: None,
            helper: None,
            zone: None,
            flags: None,
            class: None,
            nat: None,
            function: None,
        }
    }

    /// Returns the layer 3 family of the expected tuple.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.tuple.family()
    }

    /// Decodes a message about an expectation: an entry of a dump, an event, or a create request.
    ///
    /// # Errors
    ///
    /// Fails if [`ExpectationRef::parse`] would.
    pub fn decode(message: &RawMessage<'_>) -> Result<Self, DecodeError> {
        ExpectationRef::parse(message).map(|expectation| expectation.to_expectation())
    }

    pub(crate) fn from_attributes(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        ExpectationRef::check(attributes).map(|expectation| expectation.to_expectation())
    }

    /// Writes every attribute that is set, in the order in which the kernel sends them.
    pub fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.nested(CTA_EXPECT_TUPLE, &self.tuple);
        encoder.nested(CTA_EXPECT_MASK, &self.mask);
        encoder.nested(CTA_EXPECT_MASTER, &self.master);
        encoder.optional_nest(CTA_EXPECT_NAT, self.nat.as_ref());
        encoder.optional_u32(CTA_EXPECT_TIMEOUT, self.timeout);
        encoder.optional_u32(CTA_EXPECT_ID, self.id);
        encoder.optional_u32(CTA_EXPECT_FLAGS, self.flags.map(|flags| flags.bits()));
        encoder.optional_u32(CTA_EXPECT_CLASS, self.class);
        if let Some(helper) = &self.helper {
            encoder.text(CTA_EXPECT_HELP_NAME, helper);
        }
        if let Some(function) = &self.function {
            encoder.text(CTA_EXPECT_FN, function);
        }
        encoder.optional_u16(CTA_EXPECT_ZONE, self.zone);
    }
}

/// A view of an expectation in the receive buffer.
///
/// Parsing checked its structure, so reading it cannot fail.
///
/// # Example
///
/// ```
/// use ctnetlink::{Expectation, ExpectationRef, Tuple, wire::{Encoder, Flags, MessageType, Messages}};
///
/// # let master = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:21".parse()?);
/// # let tuple = Tuple::tcp("10.0.0.2:0".parse()?, "10.0.0.1:1024".parse()?);
/// # let sent = Expectation::new(master, tuple, tuple);
/// # let mut buffer = [0; 512];
/// # let mut encoder = Encoder::new(&mut buffer);
/// # encoder.message(MessageType::EXPECTATION_NEW, Flags::MULTI, 1, sent.family(), |body| sent.encode(body));
/// # let length = encoder.finish()?;
/// let message = Messages::new(&buffer[..length]).next().unwrap()?;
/// let expectation = ExpectationRef::parse(&message)?;
/// assert_eq!(expectation.tuple().destination_port(), Some(1024));
/// assert_eq!(expectation.helper(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ExpectationRef<'a> {
    attributes: Attributes<'a>,
    master: TupleRef<'a>,
    tuple: TupleRef<'a>,
    mask: TupleRef<'a>,
}

impl<'a> ExpectationRef<'a> {
    /// Checks a message about an expectation: an entry of a dump, an event, or a create request.
    ///
    /// # Errors
    ///
    /// Fails if the message has another type, or if an attribute is malformed or missing.
    pub fn parse(message: &RawMessage<'a>) -> Result<Self, DecodeError> {
        if !matches!(message.header().message_type, MessageType::EXPECTATION_NEW | MessageType::EXPECTATION_DELETE) {
            return Err(message.unexpected_type());
        }
        let attributes = message.netfilter()?.attributes(AttributeSet::Expectation);
        Self::check(attributes).map_err(|error| error.moved(message.attributes_offset()))
    }

    fn check(attributes: Attributes<'a>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_EXPECT_MASTER => master = TupleRef::read,
            CTA_EXPECT_TUPLE => expected = TupleRef::read,
            CTA_EXPECT_MASK => mask = TupleRef::read,
            CTA_EXPECT_TIMEOUT => _timeout = Attribute::u32,
            CTA_EXPECT_ID => _id = Attribute::u32,
            CTA_EXPECT_HELP_NAME => _helper = Attribute::<'a>::text,
            CTA_EXPECT_ZONE => _zone = Attribute::u16,
            CTA_EXPECT_FLAGS => _flags = Attribute::u32,
            CTA_EXPECT_CLASS => _class = Attribute::u32,
            CTA_EXPECT_NAT => _nat = ExpectationNat::read,
            CTA_EXPECT_FN => _function = Attribute::<'a>::text,
        );
        let require = |tuple: Option<_>, number| tuple.ok_or_else(|| attributes.missing(number));
        Ok(Self {
            attributes,
            master: require(master, CTA_EXPECT_MASTER)?,
            tuple: require(expected, CTA_EXPECT_TUPLE)?,
            mask: require(mask, CTA_EXPECT_MASK)?,
        })
    }

    /// Returns the original tuple of the flow whose helper expects this one.
    #[must_use]
    pub const fn master(&self) -> TupleRef<'a> {
        self.master
    }

    /// Returns the expected tuple.
    #[must_use]
    pub const fn tuple(&self) -> TupleRef<'a> {
        self.tuple
    }

    /// Returns the bits of the tuple that must match.
    #[must_use]
    pub const fn mask(&self) -> TupleRef<'a> {
        self.mask
    }

    /// Returns the seconds until the expectation ends.
    #[must_use]
    pub fn timeout(&self) -> Option<u32> {
        self.u32(CTA_EXPECT_TIMEOUT)
    }

    /// Returns an opaque identifier.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.u32(CTA_EXPECT_ID)
    }

    /// Returns the name of the helper.
    #[must_use]
    pub fn helper(&self) -> Option<&'a str> {
        self.attributes.find(CTA_EXPECT_HELP_NAME)?.text().ok()
    }

    /// Returns the zone, which only requests contain.
    #[must_use]
    pub fn zone(&self) -> Option<u16> {
        self.attributes.find(CTA_EXPECT_ZONE)?.u16().ok()
    }

    /// Returns the flags.
    #[must_use]
    pub fn flags(&self) -> Option<ExpectationFlags> {
        self.u32(CTA_EXPECT_FLAGS).map(ExpectationFlags::from_bits_retain)
    }

    /// Returns the helper's class of expectation.
    #[must_use]
    pub fn class(&self) -> Option<u32> {
        self.u32(CTA_EXPECT_CLASS)
    }

    /// Returns the translation that the expected flow will get.
    #[must_use]
    pub fn nat(&self) -> Option<ExpectationNat> {
        ExpectationNat::read(self.attributes.find(CTA_EXPECT_NAT)?).ok()
    }

    /// Returns the registered function that is called when the flow comes.
    #[must_use]
    pub fn function(&self) -> Option<&'a str> {
        self.attributes.find(CTA_EXPECT_FN)?.text().ok()
    }

    /// Returns all attributes, known and unknown.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// Copies the expectation into a value.
    #[must_use]
    pub fn to_expectation(&self) -> Expectation {
        Expectation {
            master: self.master.to_tuple(),
            tuple: self.tuple.to_tuple(),
            mask: self.mask.to_tuple(),
            timeout: self.timeout(),
            id: self.id(),
            helper: self.helper().map(Into::into),
            zone: self.zone(),
            flags: self.flags(),
            class: self.class(),
            nat: self.nat(),
            function: self.function().map(Into::into),
        }
    }

    fn u32(&self, number: u16) -> Option<u32> {
        self.attributes.find(number)?.u32().ok()
    }
}
