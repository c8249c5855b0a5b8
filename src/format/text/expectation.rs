//! Expectations as text.

use super::{Text, addresses, item, numbers, text_item};
use crate::{Expectation, ExpectationFlags, format::line::Line};

impl Text<'_> {
    pub(in crate::format) fn print_expectation(&self, expectation: &Expectation, line: &mut Line<'_>) {
        self.event_prefix(line);
        if let Some(timeout) = expectation.timeout {
            line.print((timeout, " "));
        }
        item("proto=", expectation.tuple.protocol.0, line);
        for (names, tuple) in [
            (["src=", " dst="], &expectation.tuple),
            (["mask-src=", " mask-dst="], &expectation.mask),
            (["master-src=", " master-dst="], &expectation.master),
        ] {
            addresses(names, tuple, line);
            numbers(tuple, line);
        }
        if let Some(zone) = expectation.zone {
            item("zone=", zone, line);
        }
        flags(expectation.flags.unwrap_or_default(), line);
        if let Some(class) = expectation.class {
            item("class=", class, line);
        }
        if let Some(helper) = &expectation.helper {
            text_item("helper=", helper, line);
        }
        line.drop_last();
        self.suffix(line);
    }
}

/// Names joined by commas, and a space if there are any.
fn flags(flags: ExpectationFlags, line: &mut Line<'_>) {
    let mut separator = "";
    for (name, _) in flags.iter_names() {
        line.text(separator);
        line.text(name);
        separator = ",";
    }
    if !separator.is_empty() {
        line.text(" ");
    }
}
