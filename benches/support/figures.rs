//! Tables of figures.

/// Times and ratios by contestant, in order of their first round.
pub struct Table {
    title: String,
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    seconds: Vec<f64>,
    /// Ratios to the floor of the same round.
    ratios: Vec<f64>,
}

impl Table {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    pub fn add(&mut self, name: &'static str, seconds: Option<f64>, floor: Option<f64>) {
        let Some(seconds) = seconds else { return };
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name, seconds: Vec::new(), ratios: Vec::new() });
            self.rows.len() - 1
        });
        self.rows[at].seconds.push(seconds);
        self.rows[at].ratios.extend(floor.map(|floor| seconds / floor));
    }

    /// Prints medians.
    pub fn print(mut self, flows: u32) {
        println!("{:<42} {:>10} {:>10} {:>7}", self.title, "seconds", "ns/flow", "ratio");
        for row in &mut self.rows {
            let (seconds, ratio) = (median(&mut row.seconds), median(&mut row.ratios));
            println!("  {:<40} {seconds:>10.3} {:>10.0} {ratio:>7.2}", row.name, seconds * 1e9 / f64::from(flows));
        }
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
