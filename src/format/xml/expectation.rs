//! Expectations as XML.

use super::{
    Xml,
    element::{addresses, layer3, layer4, number, numbers, text},
};
use crate::{Expectation, ExpectationFlags, Tuple, format::line::Line};

impl Xml<'_> {
    pub(in crate::format) fn print_expectation(&self, expectation: &Expectation, line: &mut Line<'_>) {
        self.begin(line);
        line.text(layer3(expectation.family()));
        three(expectation, addresses, line);
        line.text("</layer3>");
        layer4(expectation.tuple.protocol, line);
        three(expectation, numbers, line);
        line.text("</layer4><meta>");
        self.expectation_meta(expectation, line);
        line.text("</meta></flow>");
    }

    fn expectation_meta(&self, expectation: &Expectation, line: &mut Line<'_>) {
        if let Some(helper) = &expectation.helper {
            text("<helper-name>", helper, "</helper-name>", line);
        }
        if let Some(timeout) = expectation.timeout {
            number("<timeout>", timeout, "</timeout>", line);
        }
        if let Some(class) = expectation.class {
            number("<class>", class, "</class>", line);
        }
        if let Some(zone) = expectation.zone {
            number("<zone>", zone, "</zone>", line);
        }
        self.when(line);
        let flags = expectation.flags.unwrap_or_default();
        for (flag, element) in [
            (ExpectationFlags::PERMANENT, "<permanent/>"),
            (ExpectationFlags::INACTIVE, "<inactive/>"),
            (ExpectationFlags::USERSPACE, "<userspace/>"),
        ] {
            if flags.contains(flag) {
                line.text(element);
            }
        }
    }
}

/// What the three tuples of an expectation show, each in an element of its own.
fn three(expectation: &Expectation, print: impl Fn(&Tuple, &mut Line<'_>), line: &mut Line<'_>) {
    for (begin, tuple, end) in [
        ("<expected>", &expectation.tuple, "</expected>"),
        ("<mask>", &expectation.mask, "</mask>"),
        ("<master>", &expectation.master, "</master>"),
    ] {
        line.text(begin);
        print(tuple, line);
        line.text(end);
    }
}
