//! The screen of `top`, drawn without a terminal, and its keys.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::time::Duration;

use ctnetlink::{
    AnyFlow, Counters, Event, Flow, FlowTable, Protocol, Status, TcpInfo, TcpState, Tuple, accounting::Accountant,
    events::FlowEvent,
};
use ctnetlink_tools::top::{App, Board, FlowId, GroupBy, Reaction, SortBy, draw, flow_id};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

/// A table and an accountant that reads it.
struct Scene {
    table: FlowTable,
    accountant: Accountant<FlowId, fn(&dyn AnyFlow) -> FlowId>,
    app: App,
    board: Board,
}

impl Scene {
    /// Flows with the counters that they had a second ago.
    fn new() -> Self {
        let mut scene = Self {
            table: FlowTable::new(),
            accountant: Accountant::new(flow_id as fn(&dyn AnyFlow) -> FlowId),
            app: App::new(String::from("gateway"), "").unwrap(),
            board: Board::default(),
        };
        let dns = tuple(Protocol::UDP, 3, 53);
        for (tuple, state) in [
            (tuple(Protocol::TCP, 1, 443), Some(TcpState::ESTABLISHED)),
            (tuple(Protocol::TCP, 1, 80), Some(TcpState::TIME_WAIT)),
            (tuple(Protocol::TCP, 2, 443), Some(TcpState::ESTABLISHED)),
            (dns, None),
        ] {
            scene.put(flow(tuple, state));
        }
        scene
    }

    fn put(&mut self, flow: Flow) {
        self.accountant.begin(&flow);
        self.table.apply(&Event::New(FlowEvent::new(flow)), &mut Vec::new());
    }

    /// Counts traffic and shows it.
    fn count(&mut self, traffic: &[(Tuple, u64, u64)]) {
        for (tuple, sent, received) in traffic {
            let mut flow = flow(*tuple, None);
            flow.counters_original = Some(Counters::new(sent / 100, *sent));
            flow.counters_reply = Some(Counters::new(received / 100, *received));
            self.accountant.read(&flow);
        }
        let mut report = self.accountant.take_report();
        report.losses = Default::default();
        self.board.update(&self.table, report, Duration::from_secs(1));
    }

    /// Reacts to keys as the program does.
    fn press(&mut self, code: KeyCode) -> Reaction {
        let reaction = self.app.press(KeyEvent::new(code, KeyModifiers::NONE));
        match reaction {
            Reaction::Arrange => self.board.arrange(&self.table, self.app.by, self.app.sort),
            Reaction::Choose => self.board.choose(&self.table, self.app.filter()),
            _ => {}
        }
        reaction
    }

    fn press_times(&mut self, times: usize, code: KeyCode) {
        for _ in 0..times {
            self.press(code);
        }
    }

    fn type_text(&mut self, text: &str) {
        for character in text.chars() {
            self.press(KeyCode::Char(character));
        }
    }

    fn names(&self) -> Vec<&str> {
        self.board.rows().iter().map(|row| row.name.as_str()).collect()
    }

    fn screen(&self) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &self.app, &self.board)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content.chunks(80).map(|line| {
            let text: String = line.iter().map(|cell| cell.symbol()).collect();
            text.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn tuple(protocol: Protocol, host: u8, port: u16) -> Tuple {
    let source = ([10, 0, 0, host], 40_000 + port).into();
    Tuple::with_ports(protocol, source, ([192, 0, 2, 9], port).into())
}

fn flow(tuple: Tuple, state: Option<TcpState>) -> Flow {
    let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
    flow.protocol_info = state.map(|state| {
        let mut info = TcpInfo::default();
        info.state = Some(state);
        ctnetlink::ProtocolInfo::Tcp(info)
    });
    flow
}

fn busy() -> Scene {
    let mut scene = Scene::new();
    scene.count(&[
        (tuple(Protocol::TCP, 1, 443), 20_000, 1_500_000),
        (tuple(Protocol::TCP, 1, 80), 0, 4_000),
        (tuple(Protocol::TCP, 2, 443), 3_000_000, 40_000),
        (tuple(Protocol::UDP, 3, 53), 500, 700),
    ]);
    scene
}

#[test]
fn screen_fits_80_columns_and_24_lines() {
    let screen = busy().screen();
    let expected = include_str!("data/top-screen.txt");
    assert_eq!(screen, expected.trim_end(), "\n{screen}\n");
}

#[test]
fn groups_add_up_the_flows() {
    let mut scene = busy();
    assert_eq!(scene.names(), ["10.0.0.2", "10.0.0.1", "10.0.0.3"]);
    let first = scene.board.rows()[1].load;
    assert_eq!((first.flows, first.sent, first.received), (2, 20_000.0, 1_504_000.0));
    scene.press(KeyCode::Char('2'));
    assert_eq!(scene.names(), ["192.0.2.9"]);
    scene.press(KeyCode::Tab);
    assert_eq!(scene.names(), ["tcp 443", "tcp 80", "udp 53"]);
    scene.press(KeyCode::Char('4'));
    assert_eq!(scene.names()[0], "tcp 10.0.0.2:40443 > 192.0.2.9:443");
    scene.press(KeyCode::Tab);
    assert_eq!(scene.board.group_by(), GroupBy::Source);
    assert_eq!(scene.board.total().flows, 4);
}

#[test]
fn order_follows_the_key() {
    let mut scene = busy();
    scene.press(KeyCode::Char('s'));
    scene.press(KeyCode::Char('s'));
    assert_eq!((scene.board.sort_by(), scene.names()[0]), (SortBy::Flows, "10.0.0.1"));
}

#[test]
fn ended_flow_counts_until_the_next_reading() {
    let mut scene = busy();
    let mut last = flow(tuple(Protocol::UDP, 3, 53), None);
    last.counters_original = Some(Counters::new(90, 9_000_500));
    last.counters_reply = Some(Counters::new(7, 700));
    scene.accountant.end(&last);
    scene.table.apply(&Event::Destroy(FlowEvent::new(last)), &mut Vec::new());
    scene.count(&[]);
    let row = scene.board.rows()[0].clone();
    assert_eq!((row.name.as_str(), row.load.flows, row.load.sent), ("10.0.0.3", 0, 9_000_000.0));
    scene.count(&[]);
    assert_eq!(scene.names(), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn error_of_the_filter_is_shown_while_typing() {
    let mut scene = busy();
    scene.press(KeyCode::Char('f'));
    scene.type_text("prot tcp");
    assert!(scene.screen().contains("unknown keyword `prot`; did you mean `proto`?"), "{}", scene.screen());
    // It cannot be applied.
    assert_eq!(scene.press(KeyCode::Enter), Reaction::Stay);
    assert!(scene.app.input().is_some());
    scene.press_times(4, KeyCode::Backspace);
    scene.type_text("o udp");
    assert!(scene.screen().contains("filter: proto udp▏Enter applies"), "{}", scene.screen());
    assert_eq!(scene.press(KeyCode::Enter), Reaction::Choose);
    assert_eq!(scene.names(), ["10.0.0.3"]);
    scene.press(KeyCode::Char('f'));
    scene.type_text(" nonsense");
    scene.press(KeyCode::Esc);
    assert_eq!(scene.app.filter_text(), "proto udp");
}

#[test]
fn keys_are_text_while_a_filter_is_typed() {
    let mut scene = busy();
    scene.press(KeyCode::Char('/'));
    scene.type_text("qsp1");
    assert_eq!(scene.app.input().unwrap().0, "qsp1");
    let control = |code| KeyEvent::new(KeyCode::Char(code), KeyModifiers::CONTROL);
    scene.app.press(control('u'));
    assert_eq!(scene.app.input(), Some(("", None)));
    assert_eq!(scene.app.press(control('c')), Reaction::Quit);
}

#[test]
fn family_key_shows_one_family() {
    let mut scene = busy();
    scene.press(KeyCode::Char('v'));
    assert_eq!(scene.names().len(), 3);
    assert!(scene.screen().contains("IPv4"));
    scene.press(KeyCode::Char('v'));
    assert!(scene.names().is_empty());
    scene.press(KeyCode::Char('v'));
    assert_eq!(scene.names().len(), 3);
}

#[test]
fn list_scrolls_to_its_end_and_no_further() {
    let mut scene = Scene::new();
    for host in 100..140 {
        scene.put(flow(tuple(Protocol::UDP, host, 53), None));
    }
    scene.count(&[]);
    scene.press_times(9, KeyCode::PageDown);
    assert!(scene.screen().contains("10.0.0.139") && !scene.screen().contains("10.0.0.100"));
    scene.press(KeyCode::Home);
    assert!(scene.screen().contains("10.0.0.1 "));
}

#[test]
fn offloaded_flow_has_an_asterisk() {
    let mut scene = busy();
    let mut offloaded = flow(tuple(Protocol::TCP, 7, 443), Some(TcpState::ESTABLISHED));
    offloaded.status = Some(Status::OFFLOAD);
    scene.put(offloaded);
    scene.count(&[]);
    assert!(scene.screen().contains("* 10.0.0.7"));
}

#[test]
fn losses_and_pause_are_shown() {
    let mut scene = busy();
    scene.accountant.note_gap();
    let report = scene.accountant.take_report();
    scene.board.update(&scene.table, report, Duration::from_secs(1));
    assert_eq!(scene.press(KeyCode::Char('p')), Reaction::Pause);
    let screen = scene.screen();
    assert!(screen.contains("not counted: 1 gap") && screen.contains("paused"), "{screen}");
}

#[test]
fn screen_of_any_size_is_drawn() {
    let scene = busy();
    for (width, height) in [(1, 1), (10, 3), (20, 8), (300, 100)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &scene.app, &scene.board)).unwrap();
    }
}
