//! The page with made-up data, for work on its looks: `cargo run -p telemetra --example page`.

use telemetra::{
    commands::run_loop::now_ms,
    http::{
        self,
        data::{MomentShown, PageData, RatePoint, StreamNow},
    },
    snapshot::{ChatNumbers, Holder, Latest, Numbers, Snapshot, State},
};

struct Made;

fn rate(start_ms: i64) -> f64 {
    let s = start_ms as f64 / 1_000.0;
    let burst = |period: f64, width: f64, height: f64| {
        height * (-((s % period - period / 2.0) / width).powi(2)).exp()
    };
    140.0
        + 22.0 * (s / 97.0).sin()
        + 9.0 * (s / 23.0).sin()
        + burst(310.0, 14.0, 120.0)
        + burst(530.0, 20.0, 90.0)
}

impl PageData for Made {
    fn newest_ms(&mut self) -> anyhow::Result<Option<i64>> {
        Ok(Some(now_ms() / 10_000 * 10_000))
    }
    fn rates(&mut self, from_ms: i64, stream: Option<&str>) -> anyhow::Result<Vec<RatePoint>> {
        let now_ms = now_ms();
        let share = if stream.is_some() { 0.3 } else { 1.0 };
        let starts = (from_ms / 10_000..=now_ms / 10_000).map(|slot| slot * 10_000);
        Ok(starts
            .map(|start_ms| {
                let filled = ((now_ms - start_ms) as f64 / 60_000.0).min(1.0);
                let is_final = now_ms - start_ms > 70_000;
                RatePoint { start_ms, rate: share * rate(start_ms) * filled, is_final }
            })
            .collect())
    }
    fn streams(&mut self, _from_ms: i64, at_ms: i64, _most: usize) -> anyhow::Result<Vec<StreamNow>> {
        let names =
            ["midnight_speedruns", "cozy_pixel_farm", "chess_at_noon", "<i>not_html</i>", "late_night_lofi"];
        let of = |(at, name): (usize, &&str)| StreamNow {
            stream: (*name).to_owned(),
            rate: rate(at_ms) * 0.4 / (at + 1) as f64,
            chatters: 1_900 / (at as i64 + 1),
            sentiment: [Some(0.31), Some(0.08), None, Some(-0.12), Some(0.02)][at],
            viewers: Some(21_480.0 / (at + 1) as f64),
            emotes: ["Kappa", "PogChamp", "LUL", "Kreygasm"].map(str::to_owned).to_vec(),
        };
        Ok(names.iter().enumerate().map(of).collect())
    }
    fn moments(&mut self, _most: usize) -> anyhow::Result<Vec<MomentShown>> {
        let newest = now_ms() / 10_000 - 9;
        let starts = (newest - 80..=newest).rev().map(|slot| slot * 10_000).filter(|ms| rate(*ms) > 232.0);
        let of = |start_ms: i64| MomentShown {
            stream: "midnight_speedruns".into(),
            start_ms,
            description: format!(
                "chat spike: {:.0} messages/s, z 4.2 above the windows before",
                rate(start_ms)
            ),
            rate: rate(start_ms),
            z_score: 4.2,
        };
        Ok(starts.map(of).collect())
    }
}

fn main() -> anyhow::Result<()> {
    let latest = Latest::default();
    latest.publish(Snapshot {
        job: "chat".into(),
        state: State::Running,
        batches: 1_204,
        events_per_second: 151.4,
        numbers: Numbers::Chat(ChatNumbers {
            counted: 1_204_977,
            late: 61,
            dead_letters: 57,
            window_misses: 12,
            watermark_ms: Some(now_ms() - 12_000),
            holder: Some(Holder { name: "viewer/0".into(), reason: "its largest event time".into() }),
            open_windows: 56,
            open_panes_max: 11,
            replay_records_max: 40_000,
            final_windows: 4_310,
        }),
        rss_bytes: Some(31 << 20),
        ..Snapshot::default()
    });
    let listener = http::bind_from(([127, 0, 0, 1], 8080).into())?;
    let page = http::start(listener, latest.into(), Box::new(Made), 60_000)?;
    telemetra::out::line(&format!("http://{}/", page.address()));
    std::thread::park();
    Ok(())
}
