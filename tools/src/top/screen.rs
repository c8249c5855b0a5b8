//! The screen. Laid out for 80 columns and 24 lines, and useful with more.

use ctnetlink::Family;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize},
    text::{Line, Span},
    widgets::{Paragraph, Row as TableRow, Sparkline, Table},
};

use super::{App, Board, GroupBy, Row};

const KEYS: &str = "q quit  1-4/Tab group  s sort  f filter  v family  p pause  Up/Down scroll";

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, app: &App, board: &Board) {
    let [title, counts, graph, tabs, list, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(app, board), title);
    frame.render_widget(counts_line(board), counts);
    draw_graph(frame, graph, board);
    frame.render_widget(tabs_line(app, board), tabs);
    draw_list(frame, list, app, board);
    frame.render_widget(footer_line(app, board), footer);
}

fn title_line<'a>(app: &'a App, board: &Board) -> Paragraph<'a> {
    let total = board.total();
    let rates = format!(
        "  {} {}  {}/s sent  {}/s received  {} packets/s",
        total.flows,
        if total.flows == 1 { "flow" } else { "flows" },
        quantity(total.sent, "B"),
        quantity(total.received, "B"),
        quantity(total.packets, "").replace(' ', ""),
    );
    Paragraph::new(Line::from(vec![Span::from(app.title.as_str()).bold(), Span::from(rates)]))
}

fn counts_line<'a>(board: &'a Board) -> Paragraph<'a> {
    let list = |counts: Vec<(&'a str, u64)>| {
        let first: Vec<String> = counts.iter().take(4).map(|(name, count)| format!("{name} {count}")).collect();
        first.join("  ")
    };
    let line =
        vec![Span::from(list(board.protocols())).cyan(), Span::from("  "), Span::from(list(board.states())).dim()];
    Paragraph::new(Line::from(line))
}

/// The newest reading is at the right end, whose width decides how many are shown.
fn draw_graph(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let [graph, label] = Layout::horizontal([Constraint::Min(1), Constraint::Length(12)]).areas(area);
    let skipped = board.history().len().saturating_sub(graph.width.into());
    let shown: Vec<u64> = board.history().iter().skip(skipped).copied().collect();
    let peak = shown.iter().copied().max().unwrap_or(0);
    let blank = usize::from(graph.width).saturating_sub(shown.len());
    let data: Vec<u64> = core::iter::repeat_n(0, blank).chain(shown).collect();
    frame.render_widget(Sparkline::default().data(data).max(peak.max(1)).style(Style::new().fg(Color::Green)), graph);
    frame.render_widget(Paragraph::new(format!(" {}/s\n\n 0", quantity(peak as f64, "B"))).dim(), label);
}

fn tabs_line<'a>(app: &'a App, board: &Board) -> Paragraph<'a> {
    let mut spans = Vec::new();
    for (number, by) in GroupBy::ALL.into_iter().enumerate() {
        let tab = Span::from(format!("{} {}", number + 1, by.title()));
        spans.push(if by == board.group_by() { tab.reversed() } else { tab });
        spans.push(Span::from("  "));
    }
    let family = match app.family() {
        Some(Family::IPV4) => "  IPv4",
        Some(_) => "  IPv6",
        None => "",
    };
    spans.push(Span::from(format!("by {}{family}", board.sort_by().name())));
    if app.is_paused {
        spans.push(Span::from("  "));
        spans.push(Span::from("paused").yellow());
    }
    if !app.filter_text().is_empty() {
        spans.push(Span::from(format!("  {}", app.filter_text())).cyan());
    }
    Paragraph::new(Line::from(spans))
}

/// The columns after the name, with their widths. They leave 39 columns for an address, and 48 for a flow.
const GROUP_COLUMNS: [(&str, u16); 4] = [("flows", 6), ("sent/s", 8), ("recv/s", 8), ("pkt/s", 6)];
const FLOW_COLUMNS: [(&str, u16); 3] = [("sent/s", 8), ("recv/s", 8), ("pkt/s", 6)];
const GROUP_BAR: u16 = 8;
const FLOW_BAR: u16 = 6;

fn draw_list(frame: &mut Frame<'_>, area: Rect, app: &App, board: &Board) {
    let (columns, bar) = match board.group_by() {
        GroupBy::Flow => (FLOW_COLUMNS.as_slice(), FLOW_BAR),
        _ => (GROUP_COLUMNS.as_slice(), GROUP_BAR),
    };
    let visible = usize::from(area.height.saturating_sub(1));
    let offset = app.offset.min(board.rows().len().saturating_sub(visible));
    let most = board.rows().iter().map(|row| row.load.bytes()).fold(0.0, f64::max);
    let shown = board.rows().iter().skip(offset).take(visible);
    let rows = shown.map(|row| {
        let numbers = columns.iter().map(|(title, width)| Span::from(right(&number(row, title), *width)));
        let bar = Span::from("█".repeat(bar_length(row.load.bytes(), most, bar))).green();
        TableRow::new([Span::from(name(row))].into_iter().chain(numbers).chain([bar]))
    });
    let titles = columns.iter().map(|(title, width)| right(title, *width));
    let header = TableRow::new([board.group_by().title().to_owned()].into_iter().chain(titles)).bold();
    let widths = columns.iter().map(|(_, width)| Constraint::Length(*width));
    let widths = [Constraint::Min(20)].into_iter().chain(widths).chain([Constraint::Length(bar)]);
    frame.render_widget(Table::new(rows, widths).header(header), area);
}

/// An asterisk marks offloaded flows, whose counters may stand still.
fn name(row: &Row) -> String {
    format!("{}{}", if row.load.offloaded { "* " } else { "" }, row.name)
}

fn number(row: &Row, title: &str) -> String {
    match title {
        "flows" => row.load.flows.to_string(),
        "sent/s" => quantity(row.load.sent, "B"),
        "recv/s" => quantity(row.load.received, "B"),
        _ => quantity(row.load.packets, "").replace(' ', ""),
    }
}

fn right(text: &str, width: u16) -> String {
    format!("{text:>width$}", width = width.into())
}

fn bar_length(value: f64, most: f64, width: u16) -> usize {
    if most > 0.0 { (value / most * f64::from(width)).round() as usize } else { 0 }
}

fn footer_line<'a>(app: &'a App, board: &Board) -> Paragraph<'a> {
    let line = match (app.input(), &app.warning) {
        (Some((text, Some(error))), _) => {
            vec![Span::from("filter: "), Span::from(text).bold(), Span::from("▏"), Span::from(error).red()]
        }
        (Some((text, None)), _) => {
            vec![
                Span::from("filter: "),
                Span::from(text).bold(),
                Span::from("▏"),
                Span::from("Enter applies, Esc cancels").dim(),
            ]
        }
        (None, Some(warning)) => vec![Span::from(warning.as_str()).yellow()],
        (None, None) if board.losses().gaps > 0 => {
            vec![Span::from(format!("not counted: {}", board.losses())).yellow()]
        }
        (None, None) => vec![Span::from(KEYS).dim()],
    };
    Paragraph::new(Line::from(line))
}

/// Three digits and a decimal prefix: `1.23 kB`, `45.6 MB`.
fn quantity(value: f64, unit: &str) -> String {
    const PREFIXES: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut rest = value;
    for prefix in PREFIXES {
        let decimals = if rest < 9.995 {
            2
        } else if rest < 99.95 {
            1
        } else {
            0
        };
        if rest < 999.5 {
            return if prefix.is_empty() {
                format!("{rest:.0} {unit}")
            } else {
                format!("{rest:.decimals$} {prefix}{unit}")
            };
        }
        rest /= 1000.0;
    }
    format!("{rest:.0} P{unit}")
}

#[cfg(test)]
mod tests {
    use super::quantity;

    #[test]
    fn quantities_have_three_digits() {
        let cases = [
            (0.0, "0 B"),
            (999.4, "999 B"),
            (999.6, "1.00 kB"),
            (12_345.0, "12.3 kB"),
            (999_600.0, "1.00 MB"),
            (3.2e15, "3 PB"),
        ];
        for (value, expected) in cases {
            assert_eq!(quantity(value, "B"), expected);
        }
    }
}
