//! Whether short plans run faster by several threads or by one, found out by trying.
//!
//! A fork and join costs a fraction of a microsecond where cores share a cache, several times that where they do not, and
//! much more beside a busy neighbour. No table knows, so a short plan runs both ways in turn now and then, and the faster
//! way between. Long plans gain wherever there is a second core.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Plans that take longer by several threads are not tried.
const LONG: Duration = Duration::from_micros(300);
/// Runs of a trial of each way.
const EACH: usize = 8;
/// Runs of a trial, every other one by one thread.
const RUNS: u32 = 2 * EACH as u32;
/// Runs from one trial to the next: of so many, one in fifty goes the slower way.
const CYCLE: u32 = 400;

/// The trials of one plan.
#[derive(Default)]
pub struct Trial(Mutex<State>);

#[derive(Default)]
struct State {
    /// Runs since the trial began.
    runs: u32,
    /// How long those of the trial took: by several threads, and by one.
    took: [[Duration; EACH]; 2],
    /// What came of it.
    is_alone: bool,
    /// There are no more trials.
    is_long: bool,
}

impl Trial {
    /// Whether the next run is better by several threads.
    pub fn is_together(&self) -> bool {
        let state = self.state();
        if state.is_long || state.runs >= RUNS { !state.is_alone } else { state.runs.is_multiple_of(2) }
    }

    /// Notes how long a run took.
    pub fn note(&self, is_together: bool, took: Duration) {
        let mut state = self.state();
        if state.is_long {
            return;
        }
        if state.runs < RUNS {
            let place = state.runs as usize / 2;
            state.took[usize::from(!is_together)][place] = took;
        }
        state.runs += 1;
        if state.runs == 1 {
            // The first run of a plan finds nothing in the caches, and may take many times as long as those behind it.
            state.is_long = took > 10 * LONG;
        } else if state.runs == RUNS {
            let [together, alone] = state.took.map(median);
            state.is_long = together > LONG;
            state.is_alone = !state.is_long && alone < together;
        } else if state.runs == CYCLE {
            *state = State::default();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A few of the runs may have been interrupted.
fn median(mut of: [Duration; EACH]) -> Duration {
    of.sort_unstable();
    of[EACH / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of which those by several threads take so long, and those by one: how many were by several, of each cycle's
    /// trial and of the rest.
    fn cycle(trial: &Trial, together: u64, alone: u64) -> [u32; 2] {
        let mut counts = [0; 2];
        for run in 0..CYCLE {
            let is_together = trial.is_together();
            counts[usize::from(run >= RUNS)] += u32::from(is_together);
            trial.note(is_together, Duration::from_micros(if is_together { together } else { alone }));
        }
        counts
    }

    #[test]
    fn short_plans_run_the_faster_way() {
        let trial = Trial::default();
        assert_eq!(cycle(&trial, 30, 40), [RUNS / 2, CYCLE - RUNS]);
        // And the other way, once a neighbour is there.
        assert_eq!(cycle(&trial, 50, 40), [RUNS / 2, 0]);
        assert_eq!(cycle(&trial, 40, 40), [RUNS / 2, CYCLE - RUNS]);
    }

    #[test]
    fn long_plans_run_together() {
        let trial = Trial::default();
        assert_eq!(cycle(&trial, 500, 400), [RUNS / 2, CYCLE - RUNS]);
        assert_eq!(cycle(&trial, 500, 400), [RUNS, CYCLE - RUNS]);
        // So long a first run is of no short plan.
        assert_eq!(cycle(&Trial::default(), 5000, 400), [RUNS, CYCLE - RUNS]);
    }
}
