// Conversions to and from f16 by the device's own instructions: for devices where each of them was tried.

fn f16_to_f32(h: u32) -> f32 { return unpack2x16float(h).x; }
// The two of a word.
fn f16_pair(word: u32) -> vec2<f32> { return unpack2x16float(word); }
fn f32_to_f16(x: f32) -> u32 { return pack2x16float(vec2<f32>(x, 0.0)) & 0xffffu; }
