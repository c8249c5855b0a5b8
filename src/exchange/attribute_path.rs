//! The attribute of a request that the kernel refers to in a refusal.

use crate::wire::{AttributeSet, Attributes, Messages, NETFILTER_HEADER_LENGTH, NETLINK_HEADER_LENGTH};

/// The most levels of nests: more than any request of this crate has.
const DEPTH: usize = 6;

/// Returns the names of the attributes from the outermost to the one whose header is at `offset` of the request.
pub(super) fn attribute_path(request: &[u8], offset: usize) -> Option<String> {
    let message = Messages::new(request).next()?.ok()?;
    let nest = match message.header().message_type.0 >> 8 {
        1 => AttributeSet::Flow,
        2 => AttributeSet::Expectation,
        _ => return None,
    };
    let place = offset.checked_sub(NETLINK_HEADER_LENGTH + NETFILTER_HEADER_LENGTH)?;
    let mut path = String::new();
    descend(message.netfilter().ok()?.attributes(nest), place, DEPTH, &mut path).then_some(path)
}

/// Writes the path to the attribute at `place` of this nest; `false` if none starts there.
fn descend(attributes: Attributes<'_>, place: usize, depth: usize, path: &mut String) -> bool {
    for attribute in attributes.map_while(Result::ok) {
        let inside = attribute.position() + 4;
        let end = inside + attribute.payload().len();
        if place >= end {
            continue;
        }
        let separator = if path.is_empty() { "" } else { " > " };
        let Some(name) = attribute.name() else { return false };
        path.push_str(separator);
        path.push_str(name);
        return match (place.checked_sub(inside), attribute.nest().child(attribute.number())) {
            (None, _) => place == attribute.position(),
            (Some(place), Some(nest)) if depth > 0 => descend(attribute.nested(nest), place, depth - 1, path),
            (Some(_), _) => false,
        };
    }
    false
}
