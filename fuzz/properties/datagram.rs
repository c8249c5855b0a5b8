//! Views and values agree on any bytes, and each value survives encoding and decoding.

use ctnetlink::{
    DecodeError, EventRef, Expectation, Flow, Message,
    wire::{self, Encoder, Flags, MessageType, Messages},
};

#[path = "../../tests/support/codec/decoders.rs"]
mod decoders;
#[path = "../../tests/support/codec/nodes.rs"]
mod nodes;

pub fn holds(bytes: &[u8]) {
    decoders::decode_every_way(bytes);
    for message in Messages::new(bytes).map_while(Result::ok) {
        if let Ok(flow) = Flow::decode(&message) {
            flow_survives(&flow);
            event_agrees(&message, &flow);
        }
        if let Ok(expectation) = Expectation::decode(&message) {
            let again = written(MessageType::EXPECTATION_NEW, |body| expectation.encode(body));
            assert_eq!(decoders::expectation(&first(&again)), Ok(expectation));
        }
        if let Ok(value) = Message::decode(&message) {
            message_survives(&message, &value);
        }
    }
}

/// An encoded flow takes the fast path in each nest. With an unknown attribute in each nest it takes the slow path.
fn flow_survives(flow: &Flow) {
    let usual = written(MessageType::FLOW_NEW, |body| flow.encode(body));
    assert_eq!(decoders::flow(&first(&usual)).as_ref(), Ok(flow));
    let mut nodes = nodes::nodes(&usual);
    nodes::change_nests(&mut nodes, &mut |nest| nest.push(nodes::unknown()));
    let walked = nodes::with_nodes(&usual, &nodes);
    assert_eq!(decoders::flow(&first(&walked)).as_ref(), Ok(flow));
}

fn event_agrees(message: &wire::RawMessage<'_>, flow: &Flow) {
    let event = EventRef::parse(message).unwrap();
    let (_, event) = event.flow().unwrap();
    assert_eq!(event.flow.to_flow(), *flow);
    assert_eq!(event.port_id.unwrap_or(0), message.header().port);
}

/// A message keeps its value when it is encoded again. A decoded request may be impossible to encode, and encoding adds
/// the status bits that the kernel requires.
fn message_survives(message: &wire::RawMessage<'_>, value: &Message) {
    let is_request = message.header().flags.contains(Flags::REQUEST);
    let Some(once) = encoded(value, message.header().sequence) else {
        return assert!(is_request, "{value:?} was decoded but cannot be encoded");
    };
    let again = decoded(&once).unwrap_or_else(|error| panic!("{value:?}: {error}"));
    assert!(is_request || again == *value, "{value:?} became {again:?}");
    assert_eq!(encoded(&again, message.header().sequence), Some(once), "{value:?}");
}

pub fn encoded(value: &Message, sequence: u32) -> Option<Vec<u8>> {
    finished(|encoder| value.encode(sequence, encoder))
}

pub fn decoded(bytes: &[u8]) -> Result<Message, DecodeError> {
    Message::decode(&first(bytes))
}

pub fn first(bytes: &[u8]) -> wire::RawMessage<'_> {
    Messages::new(bytes).next().unwrap().unwrap()
}

fn written(message_type: MessageType, body: impl Fn(&mut Encoder<'_>)) -> Vec<u8> {
    finished(|encoder| encoder.message(message_type, Flags::empty(), 0, 2, &body)).unwrap()
}

/// Returns `None` if the value cannot be encoded. The buffer holds no zeros at first, which exposes unwritten bytes.
fn finished(write: impl Fn(&mut Encoder<'_>)) -> Option<Vec<u8>> {
    let mut measure = Encoder::new(&mut []);
    write(&mut measure);
    let mut buffer = vec![0xa5; measure.length()];
    let mut encoder = Encoder::new(&mut buffer);
    write(&mut encoder);
    encoder.finish().ok()?;
    Some(buffer)
}
