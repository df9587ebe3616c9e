use scheduler_core::prelude::*;

#[job(cron = "")]
async fn cron_empty() {}

#[job(cron = "   ")]
async fn cron_blank() {}

#[job(cron = "0 0 2 * * ? *  x")]
async fn cron_eight() {}

#[job(cron = "@daily")]
async fn cron_nickname() {}

#[job(cron = "0 0 2 * * 0")]
async fn cron_weekday() {}

#[job(cron = "0 0 2 ? * 8")]
async fn cron_weekday_8() {}

#[job(cron = "*/0 * * * * ?")]
async fn cron_step() {}

#[job(cron = "99999999999999999999 * * * * ?")]
async fn cron_overflow() {}

#[job(cron = "0 0 0 31 FEB ?")]
async fn cron_never() {}

#[job(cron = "0 0 2 * * *")]
async fn cron_unix() {}

#[job(cron = "0 0 2 * * ?", time_zone = "")]
async fn zone_empty() {}

#[job(cron = "0 0 2 * * ?", time_zone = "europe/berlin")]
async fn zone_case() {}

#[job(cron = "0 0 2 * * ?", time_zone = "+02:00")]
async fn zone_offset() {}

#[job(cron = "0 0 2 * * ?", time_zone = "CEST")]
async fn zone_short() {}

#[job(every = "")]
async fn every_empty() {}

#[job(every = "-5s")]
async fn every_negative() {}

#[job(every = "99999999999999999999s")]
async fn every_overflow() {}

#[job(every = "9999999999999999999h")]
async fn every_product() {}

#[job(every = "5 parsecs")]
async fn every_unit() {}

#[job(every = "5M")]
async fn every_capital() {}

#[job(every = "1d 1d")]
async fn every_twice() {}

#[job(every = "PT5S")]
async fn every_iso() {}

#[job(timeout = "0s")]
async fn timeout_zero() {}

#[job(timeout = 30)]
async fn timeout_number() {}

#[job(name = "")]
async fn name_empty() {}

#[job(name = "a/b")]
async fn name_slash() {}

#[job(name = " a ")]
async fn name_blank() {}

#[job(group = "")]
async fn group_empty() {}

#[job(queue = "")]
async fn queue_empty() {}

#[job(description = "")]
async fn description_empty() {}

#[job(name = concat!("a", "b"))]
async fn name_macro() {}

#[job(name = NAME)]
async fn name_constant() {}

#[job(name = b"a")]
async fn name_bytes() {}

#[job(name = 'a')]
async fn name_char() {}

#[job(cron = true)]
async fn cron_bool() {}

const NAME: &str = "a";

fn main() {}
