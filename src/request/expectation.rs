//! Requests about expectations.

use super::{Command, EncodeRequest, RequestHeader, creation};
use crate::{
    error::{DecodeError, Operation},
    macros::read_attributes,
    model::{Expectation, Family, Tuple},
    wire::{
        Attribute, Attributes, CTA_EXPECT_HELP_NAME, CTA_EXPECT_ID, CTA_EXPECT_MASTER, CTA_EXPECT_TUPLE,
        CTA_EXPECT_ZONE, Encoder, Flags, MessageType,
    },
};

/// The key of an expectation: its tuple, the zone, and the identifier if it is known.
///
/// # Example
///
/// ```
/// use ctnetlink::{Tuple, request::ExpectationKey};
///
/// let expected = Tuple::tcp("10.0.0.1:0".parse()?, "10.0.0.2:40021".parse()?);
/// let key = ExpectationKey::new(expected).in_zone(7);
/// assert_eq!((key.tuple, key.zone, key.id), (expected, Some(7), None));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ExpectationKey {
    /// The expected tuple.
    pub tuple: Tuple,
    /// The zone of the master. The kernel never sends it, so it is never known from a dump.
    pub zone: Option<u16>,
    /// The identifier. An expectation with the same tuple and another identifier does not match.
    pub id: Option<u32>,
}

impl ExpectationKey {
    /// The expectation of that tuple.
    #[must_use]
    pub const fn new(tuple: Tuple) -> Self {
        Self { tuple, zone: None, id: None }
    }

    /// Sets the zone.
    #[must_use]
    pub const fn in_zone(self, zone: u16) -> Self {
        Self { zone: Some(zone), ..self }
    }

    /// Sets the identifier.
    #[must_use]
    pub const fn with_id(self, id: u32) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Decodes tuple, zone and identifier; `None` if there is no tuple.
    pub(crate) fn decode(attributes: Attributes<'_>) -> Result<Option<Self>, DecodeError> {
        read_attributes!(attributes;
            CTA_EXPECT_TUPLE => tuple = Tuple::read,
            CTA_EXPECT_ZONE => zone = Attribute::u16,
            CTA_EXPECT_ID => id = Attribute::u32,
        );
        Ok(tuple.map(|tuple| Self { tuple, zone, id }))
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.nested(CTA_EXPECT_TUPLE, &self.tuple);
        encoder.optional_u16(CTA_EXPECT_ZONE, self.zone);
        encoder.optional_u32(CTA_EXPECT_ID, self.id);
    }
}

impl From<&Expectation> for ExpectationKey {
    fn from(expectation: &Expectation) -> Self {
        Self { tuple: expectation.tuple, zone: expectation.zone, id: expectation.id }
    }
}

/// The request for one expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GetExpectation(pub(crate) ExpectationKey);

impl EncodeRequest for GetExpectation {
    fn operation(&self) -> Operation {
        Operation::GetExpectation
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::EXPECTATION_GET, self.0.tuple.family())
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.0.encode(encoder);
    }
}

/// The request for expectations: all, the expectations of a family, or those of a master.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::{Tuple, request::DumpExpectations};
///
/// let master = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:21".parse()?);
/// for expectation in client.dump_expectations(&DumpExpectations::of_master(master))? {
///     println!("{}", expectation?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpExpectations {
    family: Family,
    master: Option<Tuple>,
    zone: Option<u16>,
}

impl DumpExpectations {
    /// Dumps all expectations, of both families.
    #[must_use]
    pub const fn all() -> Self {
        Self::of_family(Family::UNSPEC)
    }

    /// Dumps the expectations of one family.
    #[must_use]
    pub const fn of_family(family: Family) -> Self {
        Self { family, master: None, zone: None }
    }

    /// Dumps the expectations of the flow with that original tuple. Fails with ENOENT if there is no such flow.
    #[must_use]
    pub const fn of_master(master: Tuple) -> Self {
        Self { family: master.family(), master: Some(master), zone: None }
    }
}

impl DumpExpectations {
    /// Sets the zone of the master. Without a master it has no effect.
    #[must_use]
    pub const fn in_zone(self, zone: u16) -> Self {
        Self { zone: Some(zone), ..self }
    }

    /// Returns the family, which is [`Family::UNSPEC`] for both.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Returns the original tuple of the master.
    #[must_use]
    pub const fn master(&self) -> Option<Tuple> {
        self.master
    }

    /// Returns the zone of the master.
    #[must_use]
    pub const fn zone(&self) -> Option<u16> {
        self.zone
    }

    pub(crate) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_EXPECT_MASTER => master = Tuple::read,
            CTA_EXPECT_ZONE => zone = Attribute::u16,
        );
        Ok(Self { family, master, zone })
    }
}

impl EncodeRequest for DumpExpectations {
    fn operation(&self) -> Operation {
        Operation::DumpExpectations
    }

    fn header(&self) -> RequestHeader {
        // If the master has no helper, the kernel sends no DONE: the acknowledgement ends the dump.
        RequestHeader::acknowledged(MessageType::EXPECTATION_GET, self.family).with_flags(Flags::DUMP)
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        encoder.optional_nest(CTA_EXPECT_MASTER, self.master.as_ref());
        encoder.optional_u16(CTA_EXPECT_ZONE, self.zone);
    }
}

/// The request to create an expectation. The master must be in the table and have a helper.
///
/// The kernel uses the timeout of the helper instead of the one in the expectation, and removes `USERSPACE` from the
/// flags. If the helper's limit is reached, it removes the oldest expectation of the class.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::request::CreateExpectation;
///
/// fn create_all(client: &mut ctnetlink::Client, expectations: &[ctnetlink::Expectation]) -> Result<(), ctnetlink::Error> {
///     let mut batch = client.batch();
///     for expectation in expectations {
///         batch.push(&CreateExpectation::new(expectation).or_update())?;
///     }
///     println!("{} created", batch.finish()?.succeeded());
///     Ok(())
/// }
/// # create_all(&mut client, &[])?;
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateExpectation<'a> {
    expectation: &'a Expectation,
    or_update: bool,
}

impl<'a> CreateExpectation<'a> {
    /// Creates the expectation, and fails if it exists.
    #[must_use]
    pub const fn new(expectation: &'a Expectation) -> Self {
        Self { expectation, or_update: false }
    }

    /// Renews the timeout if the expectation exists.
    #[must_use]
    pub const fn or_update(self) -> Self {
        Self { or_update: true, ..self }
    }
}

impl EncodeRequest for CreateExpectation<'_> {
    fn operation(&self) -> Operation {
        Operation::CreateExpectation
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::EXPECTATION_NEW, self.expectation.family())
            .with_flags(creation(self.or_update))
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.expectation.encode(encoder);
    }
}

/// The request to delete one expectation. It always carries a tuple: for the kernel, a delete without one empties the
/// table.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::{Tuple, request::{DeleteExpectation, ExpectationKey}};
///
/// let expected = Tuple::tcp("10.0.0.1:0".parse()?, "10.0.0.2:40021".parse()?);
/// client.execute(&DeleteExpectation(ExpectationKey::new(expected)))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a key and nothing else")]
pub struct DeleteExpectation(
    /// Which one.
    pub ExpectationKey,
);

impl EncodeRequest for DeleteExpectation {
    fn operation(&self) -> Operation {
        Operation::DeleteExpectation
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::EXPECTATION_DELETE, self.0.tuple.family())
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.0.encode(encoder);
    }
}

/// The request to delete every expectation of a helper. It succeeds if there is none.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::request::DeleteExpectationsOf;
///
/// let mut batch = client.batch();
/// for helper in ["ftp", "sip"] {
///     batch.push(&DeleteExpectationsOf(helper))?;
/// }
/// batch.finish()?;
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a name and nothing else")]
pub struct DeleteExpectationsOf<'a>(
    /// The name of the helper.
    pub &'a str,
);

impl EncodeRequest for DeleteExpectationsOf<'_> {
    fn operation(&self) -> Operation {
        Operation::DeleteExpectation
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::EXPECTATION_DELETE, Family::UNSPEC)
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        encoder.text(CTA_EXPECT_HELP_NAME, self.0);
    }
}

/// The request to delete every expectation of the namespace, of both families.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// client.execute(&ctnetlink::request::FlushExpectations)?;
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing to say in it")]
pub struct FlushExpectations;

impl EncodeRequest for FlushExpectations {
    fn operation(&self) -> Operation {
        Operation::FlushExpectations
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::EXPECTATION_DELETE, Family::UNSPEC)
    }

    fn encode_attributes(&self, _: &mut Encoder<'_>) {}
}

impl Command for CreateExpectation<'_> {}
impl Command for DeleteExpectation {}
impl Command for DeleteExpectationsOf<'_> {}
impl Command for FlushExpectations {}
