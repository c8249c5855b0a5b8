//! A saved line is read or refused, and what was read names no more than the line does.

use ctnetlink::{
    Filter, Flow, FlowKey, Layer4, NewFlow, Tuple,
    format::{LabelMap, Save, SaveCommand, SaveLine, read_save},
};

use super::{source::Source, values};

/// The first byte of inputs that contain the values of a flow instead of text.
const VALUES: u8 = 0;

pub fn holds(bytes: &[u8]) {
    match bytes {
        [VALUES, values @ ..] => saved_flow_is_read(&values::flow(&mut Source(values))),
        text => every_line_is_read_or_refused(text),
    }
}

fn every_line_is_read_or_refused(text: &[u8]) {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let count = lines.clone().count();
    let mut reader = read_save(text);
    let mut read = 0;
    while let Some(line) = reader.next() {
        read += 1;
        let number = usize::try_from(reader.line_number()).unwrap();
        assert!(read <= number && number <= count, "line {number} of {count}");
        let text = core::str::from_utf8(lines.clone().nth(number - 1).unwrap()).ok();
        let alone = text.map(|text| SaveLine::parse(text, &LabelMap::default()).map(SaveLine::into_command));
        match line {
            Ok(line) => {
                check(line.command());
                assert_eq!(&alone.unwrap().unwrap(), line.command());
            }
            Err(error) => {
                assert!(alone.is_none_or(|alone| alone.is_err()), "refused in a file only: {error}");
                assert!(error.to_string().len() < 1024, "{error}");
            }
        }
    }
}

fn check(command: &SaveCommand) {
    match command {
        SaveCommand::Create(flow) => created_flow_is_read_again(flow),
        SaveCommand::Update { filter, key, .. } | SaveCommand::Delete { filter, key, .. } => {
            // The text of a line may contain a filter in any spelling, but a filter has one form.
            assert_eq!(filter.to_string().parse().as_ref(), Ok(filter));
            if let Some(key) = key {
                only_the_key_matches(filter, *key);
            }
        }
        _ => {}
    }
}

/// The flow of a line, before any translation, is printed as a line that creates the same flow.
fn created_flow_is_read_again(new: &NewFlow) {
    let mut flow = Flow::new(new.original, new.reply);
    (flow.zone, flow.status, flow.timeout) = (new.zone, Some(new.status), Some(new.timeout));
    (flow.mark, flow.labels, flow.protocol_info) = (new.mark, new.labels, new.protocol_info);
    let line = Save::new().flow(&flow).to_string();
    let again = SaveLine::parse(&line, &LabelMap::default()).and_then(|line| line.to_new_flow());
    let again = again.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!((again.original, again.timeout), (new.original, new.timeout), "{line}");
}

/// No neighbor of the flow with the key matches.
fn only_the_key_matches(filter: &Filter, key: FlowKey) {
    let zoned = |tuple: Tuple, zone| {
        let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
        flow.zone = zone;
        flow
    };
    let changed = |change: &dyn Fn(&mut Tuple)| {
        let mut tuple = key.tuple;
        change(&mut tuple);
        tuple
    };
    let mut others = vec![
        changed(&|tuple| core::mem::swap(&mut tuple.source, &mut tuple.destination)),
        changed(&|tuple| (tuple.protocol.0, tuple.layer4) = (tuple.protocol.0 ^ 1, Layer4::None)),
    ];
    if let Layer4::Ports { source, destination } = key.tuple.layer4 {
        others.push(changed(&|tuple| tuple.layer4 = Layer4::Ports { source: source ^ 1, destination }));
        others.push(changed(&|tuple| tuple.layer4 = Layer4::Ports { source, destination: destination ^ 1 }));
    }
    if let Layer4::Icmp { icmp_type, code, id } = key.tuple.layer4 {
        others.push(changed(&|tuple| tuple.layer4 = Layer4::Icmp { icmp_type, code, id: id ^ 1 }));
        others.push(changed(&|tuple| tuple.layer4 = Layer4::Icmp { icmp_type, code: code ^ 1, id }));
    }
    for other in others.into_iter().filter(|other| *other != key.tuple && other.inverted().is_some()) {
        assert!(!filter.matches(&zoned(other, key.zone)), "{filter} matches {other:?} and not only {key:?}");
    }
    let zone = key.zone.or(key.tuple.zone).unwrap_or(0);
    let elsewhere = changed(&|tuple| tuple.zone = None);
    assert!(!filter.matches(&zoned(elsewhere, Some(zone ^ 1))), "{filter} matches outside of zone {zone}");
}

fn saved_flow_is_read(flow: &Flow) {
    let line = Save::new().helpers(true).flow(flow).to_string();
    every_line_is_read_or_refused(line.as_bytes());
    assert!(!line.contains('\n'), "{line:?}");
}
