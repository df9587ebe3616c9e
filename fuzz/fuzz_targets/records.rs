//! Records as a store keeps them: any bytes are refused, or read and written alike, and can be asked for fire times.
#![no_main]

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use scheduler_core::calendar::Calendar;
use scheduler_core::trigger::Trigger;

fuzz_target!(|input: (u32, &str)| {
    let (second, text) = input;
    let asked = DateTime::from_timestamp(i64::from(second), 0).unwrap();
    if let Ok(trigger) = serde_json::from_str::<Trigger>(text) {
        let written = serde_json::to_string(&trigger).unwrap();
        assert_eq!(serde_json::from_str::<Trigger>(&written).unwrap(), trigger);
        assert!(trigger.fire_time_after(asked).is_none_or(|next| next > asked));
        let progress = trigger.first(None);
        trigger.misfired(&trigger.fired(&progress, None), asked, None);
    }
    if let Ok(calendar) = serde_json::from_str::<Box<dyn Calendar>>(text) {
        assert!(calendar.next_included(asked).is_none_or(|next| next >= asked && calendar.includes(next)));
    }
});
