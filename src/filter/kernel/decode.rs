//! The filter in a request that was received.

use super::{DirectionFields, FieldEncoding, KernelConjunction, KernelField, KernelFilter, ORIGINAL, REPLY};
use crate::{
    error::{DecodeError, DecodeErrorKind},
    filter::expression::Masked,
    macros::read_attributes,
    model::{Family, Protocol},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, CTA_MARK,
        CTA_MARK_MASK, CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY,
        CTA_ZONE,
    },
};

impl KernelFilter {
    /// Decodes the filter of a dump or a flush.
    ///
    /// Fails on a filter that this crate never sends, since kernels evaluate it wrongly: an IPv6 address, the zone of a
    /// tuple, ports of other protocols than TCP and UDP, an empty mask.
    pub(crate) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_TUPLE_ORIG => original = SentTuple::read,
            CTA_TUPLE_REPLY => reply = SentTuple::read,
            CTA_MARK => mark = Attribute::u32,
            CTA_MARK_MASK => mark_mask = Attribute::u32,
            CTA_STATUS => status = Attribute::u32,
            CTA_STATUS_MASK => status_mask = Attribute::u32,
            CTA_ZONE => zone = Attribute::u16,
            CTA_FILTER => flags = |nest: Attribute<'_>| nest.walk(AttributeSet::Filter, walk_flags),
        );
        let mut filter = Self { family, compared: KernelConjunction::default() };
        if let Some(value) = mark {
            filter.compared.mark = masked(value, mark_mask.unwrap_or(u32::MAX), CTA_MARK)?;
        }
        if let Some(value) = status {
            filter.compared.status = masked(value, status_mask.unwrap_or(value), CTA_STATUS)?;
        }
        if let Some(zone) = zone {
            filter.compared.set(KernelField::Zone, zone.into());
        }
        let (original_flags, reply_flags) = flags.unwrap_or_default();
        filter.compare(&ORIGINAL, &original.unwrap_or_default(), original_flags)?;
        filter.compare(&REPLY, &reply.unwrap_or_default(), reply_flags)?;
        Ok(filter)
    }

    /// Adds the fields of a tuple that the flags name.
    fn compare(&mut self, direction: &DirectionFields, tuple: &SentTuple<'_>, flags: u32) -> Result<(), DecodeError> {
        let mut set = |field: KernelField, sent: &[Attribute<'_>], protocol| {
            let encoding = FieldEncoding::of(field, protocol);
            // The last attribute of a number counts.
            let attribute = sent.iter().rfind(|attribute| attribute.number() == encoding.attribute);
            let Some(attribute) = attribute.filter(|_| flags & encoding.flag != 0) else { return Ok(None) };
            let value = match encoding.bytes {
                1 => attribute.u8()?.into(),
                2 => attribute.u16()?.into(),
                _ => attribute.u32()?,
            };
            // A flow has one protocol: the reply tuple can only repeat that of the original tuple.
            if self.compared.value(field).is_some_and(|known| known != value) {
                return Err(unsendable(direction.tuple));
            }
            self.compared.set(field, value);
            Ok(Some(value))
        };
        for field in direction.addresses {
            set(field, &tuple.addresses, None)?;
        }
        let protocol = set(KernelField::Protocol, &tuple.layer4, None)?.map(|number| Protocol(number as u8));
        let comparable = direction.layer4.iter().filter(|field| field.is_compared_for(protocol));
        for field in comparable {
            set(*field, &tuple.layer4, protocol)?;
        }
        // A flag without its attribute, or for something else, is left over.
        if self.flags(direction) == flags { Ok(()) } else { Err(unsendable(direction.tuple)) }
    }
}

fn unsendable(attribute: u16) -> DecodeError {
    let kind = DecodeErrorKind::Value("the filter is incomplete, or kernels evaluate it wrongly");
    DecodeError::in_attribute(kind, AttributeSet::Flow, attribute, 0)
}

fn masked(value: u32, mask: u32, attribute: u16) -> Result<Masked, DecodeError> {
    if mask == 0 { Err(unsendable(attribute)) } else { Ok(Masked { value, mask }) }
}

fn walk_flags(attributes: Attributes<'_>) -> Result<(u32, u32), DecodeError> {
    read_attributes!(attributes;
        CTA_FILTER_ORIG_FLAGS => original = Attribute::u32_host,
        CTA_FILTER_REPLY_FLAGS => reply = Attribute::u32_host,
    );
    Ok((original.unwrap_or(0), reply.unwrap_or(0)))
}

/// The attributes in a tuple, whether or not they are compared.
#[derive(Default)]
struct SentTuple<'a> {
    addresses: Vec<Attribute<'a>>,
    layer4: Vec<Attribute<'a>>,
}

impl<'a> SentTuple<'a> {
    fn read(attribute: Attribute<'a>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Tuple, |attributes| {
            read_attributes!(attributes;
                CTA_TUPLE_IP => addresses = |nest: Attribute<'a>| nest.walk(AttributeSet::TupleIp, attributes_of),
                CTA_TUPLE_PROTO => layer4 = |nest: Attribute<'a>| nest.walk(AttributeSet::TupleProtocol, attributes_of),
            );
            Ok(Self { addresses: addresses.unwrap_or_default(), layer4: layer4.unwrap_or_default() })
        })
    }
}

fn attributes_of(mut nest: Attributes<'_>) -> Result<Vec<Attribute<'_>>, DecodeError> {
    let attributes = core::iter::from_fn(|| nest.advance()).collect();
    nest.end()?;
    Ok(attributes)
}
