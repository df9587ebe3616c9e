use scheduler_core::prelude::*;

#[job(boost = "2d")]
async fn too_far() {}

#[job(boost = "0s")]
async fn nothing() {}

#[job(boost = "-2m")]
async fn backwards() {}

#[job(boost = 120)]
async fn boost_without_unit() {}

#[job(boost)]
async fn boost_without_value() {}

#[job(expires = "0s")]
async fn at_once() {}

#[job(expires = "10 minutes")]
async fn unknown_unit() {}

#[job(expires = "1500us")]
async fn fraction() {}

#[job(expires = 600)]
async fn expires_without_unit() {}

#[job(boost = "1m", boost = "2m")]
async fn twice() {}

fn main() {}
