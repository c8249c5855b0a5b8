//! The terminal, the keyboard and the mirror.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use ctnetlink::{
    AnyFlow, Client, Error, EventGroups, EventSocket, Filter, Mirror, NetworkNamespace,
    accounting::{Accountant, TrafficReport},
    sysctl,
};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event},
};

use super::{App, Board, FlowId, Reaction, draw, flow_id};

/// How long a key waits to be noticed.
const KEY_WAIT: Duration = Duration::from_millis(50);
/// Changes that are applied before keys are read again.
const BURST: usize = 10_000;
/// Room for events. Granted twice, it holds some 26,000.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Everything that a user can choose at the start.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "an argument that callers build")]
pub struct Configuration {
    /// The name of a namespace in `/run/netns`, or a path. `None` is that of this process.
    pub namespace: Option<String>,
    /// The flows to show at first.
    pub filter: String,
    /// The time between readings.
    pub interval: Duration,
}

/// Shows the screen until the user quits or `stop` is true.
///
/// The terminal is restored in every case, also after a panic.
///
/// # Errors
///
/// Fails if the sockets cannot be opened, if the filter is wrong, or if there is no terminal.
pub fn run(configuration: &Configuration, stop: &AtomicBool) -> Result<(), Box<dyn std::error::Error>> {
    let title = configuration.namespace.clone().unwrap_or_else(|| String::from("top"));
    let app = App::new(title, &configuration.filter)?;
    let mut session = Session::open(configuration, app)?;
    in_terminal(|terminal| session.run(terminal, stop))?
}

/// Runs something in raw mode on the alternate screen. Restores the terminal afterwards, and before a panic is printed.
///
/// # Errors
///
/// Fails if there is no terminal.
pub fn in_terminal<T>(work: impl FnOnce(&mut DefaultTerminal) -> T) -> io::Result<T> {
    let mut terminal = ratatui::try_init()?;
    let result = work(&mut terminal);
    ratatui::restore();
    Ok(result)
}

type Key = Box<dyn Fn(&dyn AnyFlow) -> Option<FlowId>>;

struct Session {
    app: App,
    board: Board,
    mirror: Mirror,
    accountant: Accountant<Option<FlowId>, Key>,
    /// The filter, which the accountant applies too.
    filter: Rc<RefCell<Filter>>,
    interval: Duration,
    /// The number of dumps at the last reading, and its time.
    dumps: u64,
    read: Instant,
    /// When the next dump is due.
    due: Instant,
    is_changed: bool,
}

impl Session {
    fn open(configuration: &Configuration, mut app: App) -> Result<Self, Error> {
        let (mut mirror, accounting) = open_mirror(configuration.namespace.as_deref())?;
        if !accounting {
            app.warning = Some(String::from("nf_conntrack_acct=0: new flows have no counters"));
        }
        let filter = Rc::new(RefCell::new(app.filter()));
        let shared = Rc::clone(&filter);
        let key: Key = Box::new(move |flow| matches(&shared.borrow(), flow).then(|| flow_id(flow)));
        let mut accountant = Accountant::new(key);
        mirror.synchronize()?;
        accountant.read_table(mirror.table());
        accountant.take_report();
        let mut board = Board::default();
        board.choose(mirror.table(), app.filter());
        let (dumps, interval, now) = (mirror.dumps(), configuration.interval, Instant::now());
        Ok(Self {
            app,
            board,
            mirror,
            accountant,
            filter,
            interval,
            dumps,
            read: now,
            due: now + interval,
            is_changed: true,
        })
    }

    fn run(&mut self, terminal: &mut DefaultTerminal, stop: &AtomicBool) -> Result<(), Box<dyn std::error::Error>> {
        while !stop.load(Ordering::Relaxed) {
            self.follow();
            if core::mem::take(&mut self.is_changed) {
                terminal.draw(|frame| draw(frame, &self.app, &self.board))?;
            }
            if self.take_keys()? == Reaction::Quit {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Applies changes, and reads the table after each dump.
    fn follow(&mut self) {
        for _ in 0..BURST {
            match self.mirror.try_next() {
                Ok(Some(change)) => self.accountant.apply(&change),
                Ok(None) if self.mirror.dumps() > self.dumps && !self.app.is_paused => return self.read(),
                Ok(None) => break,
                Err(error) => {
                    // The table may lack a flow.
                    self.accountant.note_gap();
                    self.app.warning = Some(error.to_string());
                    self.is_changed = true;
                }
            }
        }
        if self.due <= Instant::now() && !self.app.is_paused {
            self.due = Instant::now() + self.interval;
            self.mirror.audit();
        }
    }

    fn read(&mut self) {
        let (elapsed, now) = (self.read.elapsed(), Instant::now());
        (self.dumps, self.read) = (self.mirror.dumps(), now);
        self.accountant.read_table(self.mirror.table());
        let counted = self.accountant.take_report();
        let mut report = TrafficReport::default();
        report.losses = counted.losses;
        report.traffic = counted.traffic.into_iter().filter_map(|(flow, traffic)| Some((flow?, traffic))).collect();
        self.board.update(self.mirror.table(), report, elapsed);
        self.is_changed = true;
    }

    /// Waits for keys, unless the mirror has work to do.
    fn take_keys(&mut self) -> io::Result<Reaction> {
        let is_busy = self.mirror.next_deadline().is_some_and(|deadline| deadline <= Instant::now());
        let mut wait = if is_busy { Duration::ZERO } else { KEY_WAIT };
        while event::poll(core::mem::take(&mut wait))? {
            self.is_changed = true;
            let Event::Key(key) = event::read()? else { continue };
            match self.app.press(key) {
                Reaction::Quit => return Ok(Reaction::Quit),
                Reaction::Stay => {}
                Reaction::Arrange => self.board.arrange(self.mirror.table(), self.app.by, self.app.sort),
                Reaction::Pause => self.due = Instant::now(),
                Reaction::Choose => {
                    self.filter.replace(self.app.filter());
                    self.board.choose(self.mirror.table(), self.app.filter());
                    // The traffic so far belongs to the other filter.
                    self.accountant.take_report();
                    (self.read, self.due) = (Instant::now(), Instant::now());
                }
            }
        }
        Ok(Reaction::Stay)
    }
}

fn matches(filter: &Filter, flow: &dyn AnyFlow) -> bool {
    filter.matches(flow)
}

/// Opens a mirror, and returns whether new flows have counters.
fn open_mirror(namespace: Option<&str>) -> Result<(Mirror, bool), Error> {
    let is_on = |value: io::Result<u32>| value.is_ok_and(|value| value != 0);
    let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(RECEIVE_BUFFER);
    let Some(name) = namespace else {
        let mirror = Mirror::new(events.open()?, Client::open()?)?;
        return Ok((mirror, is_on(sysctl::ACCOUNTING.read())));
    };
    let path = if name.contains('/') { name.to_owned() } else { format!("/run/netns/{name}") };
    let namespace = NetworkNamespace::from_path(path)?;
    let accounting = is_on(sysctl::ACCOUNTING.read_in(&namespace));
    let client = Client::builder().namespace(namespace.try_clone()?).open()?;
    Ok((Mirror::new(events.namespace(namespace).open()?, client)?, accounting))
}
