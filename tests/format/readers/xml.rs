//! Reads elements with the flags ktimestamp and labels.

use ctnetlink::{
    Counters, Expectation, ExpectationFlags, Flow, FlowTimes, Helper, Protocol, Status, Timestamp, Tuple,
    format::LabelMap,
};

use super::{layer4, number, state, state_alone};

/// An element. References in its text are resolved.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Self>,
}

impl Element {
    /// Reads a document of one element, after any declaration.
    pub(crate) fn parse(document: &str) -> Self {
        let document = document.split_once("?>").map_or(document, |(_, rest)| rest).trim();
        let (element, rest) = Self::read(document);
        assert_eq!(rest, "");
        element
    }

    fn read(text: &str) -> (Self, &str) {
        let (tag, mut rest) = text.strip_prefix('<').unwrap().split_once('>').unwrap();
        let (name, attributes) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        let mut element = Self { name: name.into(), attributes: attributes.into(), ..Self::default() };
        if tag.ends_with('/') {
            return (element, rest);
        }
        let end = format!("</{name}>");
        loop {
            let (content, tag) = rest.split_at(rest.find('<').unwrap());
            element.text += &resolved(content);
            if let Some(rest) = tag.strip_prefix(&end) {
                return (element, rest);
            }
            let (child, after) = Self::read(tag);
            element.children.push(child);
            rest = after;
        }
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn at(&self, path: &[&str]) -> &Self {
        path.iter().fold(self, |element, name| element.child(name).unwrap())
    }

    fn value<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> Option<T> {
        self.child(name).map(|child| child.text.parse().unwrap())
    }

    fn has(&self, name: &str) -> bool {
        self.child(name).is_some()
    }
}

fn resolved(text: &str) -> String {
    let mut parts = text.split('&');
    let mut resolved = parts.next().unwrap().to_owned();
    for part in parts {
        let (reference, rest) = part.split_once(';').expect("a bare ampersand");
        resolved += match reference {
            "lt" => "<",
            "gt" => ">",
            "amp" => "&",
            "#13" => "\r",
            other => panic!("a reference to {other}"),
        };
        resolved += rest;
    }
    resolved
}

/// The flow in an element.
pub(crate) fn carried(flow: &Flow) -> Flow {
    let mut flow = flow.clone();
    flow.protocol_info = state_alone(flow.original.protocol, flow.protocol_info);
    let status = flow.status.unwrap_or(Status::SEEN_REPLY);
    flow.status = Some(status & (Status::SEEN_REPLY | Status::ASSURED | Status::OFFLOAD | Status::HW_OFFLOAD));
    flow.helper = flow.helper.map(|helper| Helper::new(&helper.name));
    (flow.master, flow.synproxy, flow.sequence_adjustment_original) = (None, None, None);
    flow
}

pub(crate) fn flow(element: &str, labels: &LabelMap) -> Flow {
    let element = Element::parse(element);
    let [original, reply] = [&element.children[0], &element.children[1]].map(|meta| {
        let tuple = tuple(meta.at(&["layer3"]), meta.at(&["layer4"]), protocol(meta.at(&["layer4"])));
        let zone = meta.value("zone");
        let counters = meta
            .child("counters")
            .map(|counters| Counters::new(counters.value("packets").unwrap(), counters.value("bytes").unwrap()));
        let mut tuple = tuple;
        tuple.zone = zone;
        (tuple, counters)
    });
    let mut flow = Flow::new(original.0, reply.0);
    (flow.counters_original, flow.counters_reply) = (original.1, reply.1);
    flow.helper = element.value::<String>("helper").map(|name| Helper::new(&name));
    flow.status = Some(Status::SEEN_REPLY);
    if let Some(meta) = element.children.get(2).filter(|child| child.name == "meta") {
        read_meta(meta, labels, &mut flow);
    }
    flow
}

fn read_meta(meta: &Element, labels: &LabelMap, flow: &mut Flow) {
    flow.protocol_info = meta.value::<String>("state").map(|name| state(flow.original.protocol, &name));
    (flow.timeout, flow.mark, flow.zone) = (meta.value("timeout"), meta.value("mark"), meta.value("zone"));
    (flow.use_count, flow.id) = (meta.value("use"), meta.value("id"));
    flow.security_context = meta.value::<String>("secctx").map(Into::into);
    flow.labels =
        meta.child("labels").map(|names| names.children.iter().map(|label| labels.bit(&label.text).unwrap()).collect());
    flow.times = meta
        .child("timestamp")
        .map(|times| FlowTimes::new(Timestamp(times.value("start").unwrap()), times.value("stop").map(Timestamp)));
    let status = [
        (Status::SEEN_REPLY, !meta.has("unreplied")),
        (Status::ASSURED, meta.has("assured")),
        (Status::OFFLOAD, meta.has("offload")),
        (Status::HW_OFFLOAD, meta.has("hw-offload")),
    ];
    flow.status = Some(status.into_iter().filter(|(_, is_set)| *is_set).map(|(bit, _)| bit).collect());
}

pub(crate) fn expectation(element: &str) -> Expectation {
    let element = Element::parse(element);
    let (layer3, layer4) = (element.at(&["layer3"]), element.at(&["layer4"]));
    let tuple = |name| tuple(layer3.at(&[name]), layer4.at(&[name]), protocol(layer4));
    let mut expectation = Expectation::new(tuple("master"), tuple("expected"), tuple("mask"));
    let meta = element.at(&["meta"]);
    expectation.helper = meta.value::<String>("helper-name").map(Into::into);
    expectation.timeout = meta.value("timeout");
    expectation.class = meta.value("class");
    expectation.zone = meta.value("zone");
    let flags = [
        (ExpectationFlags::PERMANENT, meta.has("permanent")),
        (ExpectationFlags::INACTIVE, meta.has("inactive")),
        (ExpectationFlags::USERSPACE, meta.has("userspace")),
    ];
    let flags: ExpectationFlags = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).collect();
    expectation.flags = Some(flags).filter(|flags| !flags.is_empty());
    expectation
}

fn protocol(layer4: &Element) -> Protocol {
    Protocol(layer4.attributes.split('"').nth(1).unwrap().parse().unwrap())
}

fn tuple(layer3: &Element, numbers: &Element, protocol: Protocol) -> Tuple {
    let address = |name| layer3.value(name).unwrap();
    let mut tuple = Tuple::new(protocol, address("src"), address("dst"));
    tuple.layer4 = layer4(protocol, |name| number(&numbers.value::<String>(name).unwrap()));
    tuple
}
