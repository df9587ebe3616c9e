//! A shutdown keeps to its budget, on a clock that jumps to whatever is waited for.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::{Condvar, Mutex};
use scheduler_core::job::{JobDefinition, JobDetail};
use scheduler_core::time::{Activity, Alarm, Clock};
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, Scheduler};

/// Its time is that of the last sleep, so it shows for how long was waited.
#[derive(Debug, Clone, Default)]
struct JumpingClock(Arc<AtomicU64>);

impl Clock for JumpingClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::from_std(self.monotonic()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, deadline: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (time, deadline) = (self.0.clone(), u64::try_from(deadline.as_nanos()).unwrap());
        Box::pin(async move {
            time.fetch_max(deadline, Ordering::SeqCst);
        })
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        Arc::new(Bell::default())
    }

    fn begin(&self, _: &dyn Debug) -> Activity {
        Activity::unobserved()
    }
}

/// Waits for a ring, whatever the time.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Alarm for Bell {
    fn ring(&self) {
        *self.rung.lock() = true;
        self.changed.notify_all();
    }

    fn wait_until(&self, _: Duration) {
        let mut rung = self.rung.lock();
        while !std::mem::take(&mut *rung) {
            self.changed.wait(&mut rung);
        }
    }

    fn retire(&self) {}
}

#[tokio::test]
async fn v6_a_blocking_job_that_goes_on_does_not_exceed_the_budget_of_the_shutdown() {
    for seconds in [0, 1, 30] {
        let (clock, budget) = (JumpingClock::default(), Duration::from_secs(seconds));
        let (release, released) = mpsc::channel::<()>();
        let (begin, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let released = Arc::new(Mutex::new(released));
        let blocks = move || {
            begin.send(()).unwrap();
            released.lock().recv().ok();
        };
        let key: JobKey = "blocks".parse().unwrap();
        let definition = JobDefinition::blocking(JobDetail::builder(key.clone(), "blocks").build(), blocks);
        let scheduler = Scheduler::builder()
            .clock(clock.clone())
            .register(definition.with_trigger(Trigger::now()))
            .build()
            .unwrap();
        scheduler.start().await.unwrap();
        begun.recv().await.unwrap();
        let before = clock.monotonic();
        let report = scheduler.shutdown(budget).await;
        assert_eq!(report.abandoned, [key]);
        assert_eq!(clock.monotonic() - before, budget);
        drop(release);
    }
}
