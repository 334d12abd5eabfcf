// Elementary functions in double precision, branch-free: loops over them vectorise, and CPU and GPU give the same bits.
//
// libm's own are correct but scalar, and differ between CPU and GPU. Errors here are at most 2.2 ulp over the ranges
// tested in tests/cpp/math_test.cc. Infinities, NaN, zeros and subnormal numbers are treated as in C, except that the
// sign of a zero is not kept. Built without contraction (-ffp-contract=off, nvcc --fmad=false).
// Argument reduction after Cody and Waite; polynomials: Taylor for exp, sin and cos, the classic atanh series
// coefficients for log (FDLIBM, Sun Microsystems 1993). They are summed in pairs (Estrin), not by Horner's rule: half
// the latency, which is what a single device waits for.
#ifndef MEMTORCH_ENGINE_MATH_H_
#define MEMTORCH_ENGINE_MATH_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "engine/core.h"

namespace memtorch {

MT_HD double Abs(double x) { return x < 0 ? -x : x; }
MT_HD double Min(double a, double b) { return b < a ? b : a; }
MT_HD double Max(double a, double b) { return a < b ? b : a; }
MT_HD double Clamp(double x, double low, double high) { return Min(Max(x, low), high); }
MT_HD double Sqrt(double x) { return sqrt(x); }
// |magnitude| with the sign of `sign`; 0 counts as positive.
MT_HD double WithSign(double magnitude, double sign) { return sign < 0 ? -magnitude : magnitude; }

MT_HD uint64_t AsBits(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

MT_HD double AsDouble(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

namespace internal {

constexpr double kInfinity = __builtin_huge_val();
// Adding this rounds |x| < 2^51 to an integer, whose two's complement then stands in the low bits.
constexpr double kShift = 6755399441055744.0;
// ln 2 in two parts; the first has 32 trailing zero bits, so that its product with an exponent is exact.
constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;
constexpr uint64_t kExponentMask = 0xfff0000000000000u;
constexpr uint64_t kOneBits = 0x3ff0000000000000u;

// 2^k of an integer-valued k in [-1022, 1023].
MT_HD double PowerOfTwo(double k) { return AsDouble(AsBits(k + (kShift + 1023)) << 52); }

// e^(x + tail) = (1 + p) * 2^k_a * 2^k_b, p in [-0.30, 0.42]. Two factors, because results reach 2^1024 and 2^-1074.
struct ExpParts {
  double p;
  double k_a, k_b;
};

// e^(x + tail) = (1 + p) * 2^k.
struct ExpPart {
  double p;
  double k;
};

// REQUIRES: -746 <= x <= 711, |tail| << 1.
MT_HD ExpPart ReduceBounded(double x, double tail) {
  const double k = (x * 1.4426950408889634 + kShift) - kShift;
  const double high = x - k * kLn2High;
  const double low = k * kLn2Low - tail;
  const double r = high - low;
  const double lost = (high - r) - low;
  const double r2 = r * r;
  const double r4 = r2 * r2;
  // (e^r - 1 - r) / r^2, degree 11 in r: the next term is below 2^-57 of 1.
  const double q0 = (1.0 / 2 + r * (1.0 / 6)) + r2 * (1.0 / 24 + r * (1.0 / 120));
  const double q1 = (1.0 / 720 + r * (1.0 / 5040)) + r2 * (1.0 / 40320 + r * (1.0 / 362880));
  const double q2 = (1.0 / 3628800 + r * (1.0 / 39916800)) + r2 * (1.0 / 479001600 + r * (1.0 / 6227020800));
  const double q = q0 + r4 * (q1 + r4 * q2);
  return {r + (r2 * q + lost), k};
}

// REQUIRES: |tail| << 1.
MT_HD ExpParts ReduceExp(double x, double tail) {
  const ExpPart e = ReduceBounded(x < -746 ? -746 : (x > 711 ? 711 : x), tail);
  const double k_a = (0.5 * e.k + kShift) - kShift;
  return {e.p, k_a, e.k - k_a};
}

// (e^x - 1) / 2: half, so that sinh does not overflow before its result does.
MT_HD double HalfExpm1(double x) {
  const ExpParts e = ReduceExp(x, 0);
  const double a = PowerOfTwo(e.k_a);
  return (a * e.p + (a - PowerOfTwo(-e.k_b))) * (0.5 * PowerOfTwo(e.k_b));
}

// x = 2^k * m with m in [sqrt(1/2), sqrt(2)).
struct LogParts {
  double k, m;
};

// REQUIRES: x > 0, normal and finite; anything else gives a meaningless, harmless result.
MT_HD LogParts SplitNormal(double x) {
  const uint64_t bits = AsBits(x);
  const uint64_t biased = bits + (kOneBits - 0x3fe6a09e667f3bcdu);  // sqrt(1/2)
  // The exponent as a double without a 64-bit integer conversion, which AVX2 lacks.
  const double exponent = AsDouble((biased >> 52) | 0x4330000000000000u) - (4503599627370496.0 + 1023);
  return {exponent, AsDouble(bits - (biased & kExponentMask) + kOneBits)};
}

// The same, subnormal numbers included.
MT_HD LogParts SplitExponent(double x) {
  const bool subnormal = x < 2.2250738585072014e-308;
  const LogParts parts = SplitNormal(subnormal ? x * 18014398509481984.0 : x);  // 2^54
  return {subnormal ? parts.k - 54 : parts.k, parts.m};
}

// (ln((1 + s) / (1 - s)) - 2 s) / s, z = s^2.
MT_HD double LogSeries(double z) {
  const double z2 = z * z;
  const double odd = 3.999999999940941908e-01 + z2 * (2.222219843214978396e-01 + z2 * 1.531383769920937332e-01);
  const double even = 6.666666666666735130e-01 +
                      z2 * (2.857142874366239149e-01 + z2 * (1.818357216161805012e-01 + z2 * 1.479819860511658591e-01));
  return z * (even + z * odd);
}

// k ln 2 + ln(1 + f) + tail.
MT_HD double LogSum(double k, double f, double tail) {
  const double s = f / (2 + f);
  const double half_square = 0.5 * f * f;
  return k * kLn2High - ((half_square - (s * (half_square + LogSeries(s * s)) + (k * kLn2Low + tail))) - f);
}

// The answer of ln x at the ends of its domain: `finite` for 0 < x < infinity.
MT_HD double LogLimits(double x, double finite) {
  const double upper = x < kInfinity ? finite : x;  // infinity and NaN stay
  const double lower = x < 0 ? kInfinity - kInfinity : -kInfinity;
  return x <= 0 ? lower : upper;
}

}  // namespace internal

// e^x.
MT_HD double Exp(double x) {
  const internal::ExpParts e = internal::ReduceExp(x, 0);
  return (1 + e.p) * internal::PowerOfTwo(e.k_a) * internal::PowerOfTwo(e.k_b);
}

// e^x - 1, without cancellation near 0.
MT_HD double Expm1(double x) { return 2 * internal::HalfExpm1(x); }

MT_HD double Log(double x) {
  const internal::LogParts parts = internal::SplitExponent(x);
  return internal::LogLimits(x, internal::LogSum(parts.k, parts.m - 1, 0));
}

// e^x - 1 for 0 <= x <= 700. Like Log1pPositive a shorter way than the general function, for where one device waits for
// the result of its last step.
MT_HD double Expm1Positive(double x) {
  const internal::ExpPart e = internal::ReduceBounded(x, 0);
  const double a = internal::PowerOfTwo(e.k);
  return a * e.p + (a - 1);
}

namespace internal {

// ln u, u = 1 + x rounded, with what the rounding lost.
MT_HD double Log1pOf(double x, double u, const LogParts& parts) {
  const double lost = x < 1 ? x - (u - 1) : 1 - (u - x);
  const bool near_one = parts.k == 0;
  return LogSum(parts.k, near_one ? x : parts.m - 1, near_one ? 0 : lost / u);
}

}  // namespace internal

// ln(1 + x), without cancellation near 0.
MT_HD double Log1p(double x) {
  const double u = 1 + x;
  return internal::LogLimits(u, internal::Log1pOf(x, u, internal::SplitExponent(u)));
}

// The same for 0 <= x < infinity.
MT_HD double Log1pPositive(double x) {
  const double u = 1 + x;
  return internal::Log1pOf(x, u, internal::SplitNormal(u));
}

MT_HD double Sinh(double x) {
  const double half = internal::HalfExpm1(Abs(x));
  // Beyond e^x = 2^60 the second term is lost anyway, and infinity / infinity must not be formed.
  return WithSign(half < 1e18 ? half + half / (2 * half + 1) : half, x);
}

MT_HD double Cosh(double x) {
  const double sinh = Sinh(x);
  return Abs(sinh) < 1e18 ? Sqrt(1 + sinh * sinh) : Abs(sinh);  // the 1 is lost beyond, and the square overflows
}

// Both, with one exponential and one division: e^-|x| is left of each.
MT_HD void SinhCosh(double x, double* sinh, double* cosh) {
  const double half = internal::HalfExpm1(Abs(x));
  const double inverse = 1 / (2 * half + 1);  // e^-|x|
  // Beyond e^x = 2^60 the second term is lost anyway, and infinity * 0 must not be formed.
  const double sine = half < 1e18 ? half + half * inverse : half;
  *sinh = WithSign(sine, x);
  *cosh = sine + inverse;
}

MT_HD double Tanh(double x) {
  // |t| / (t + 2) with t = e^(+-2|x|) - 1, the sign that loses less; tanh 30 is 1 to the last bit.
  const double a = Min(Abs(x), 30);
  const double half = internal::HalfExpm1(a < 0.35 ? -2 * a : 2 * a);
  return WithSign(Abs(half) / (half + 1), x);
}

MT_HD double Atanh(double x) {
  const double a = Abs(x);
  // 2a / (1 - a) = 2a + 2a a / (1 - a); the second form loses nothing where 1 - a rounds.
  const bool small = a < 0.5;
  const double quotient = (small ? 2 * a * a : 2 * a) / (1 - a);
  return WithSign(0.5 * Log1p(small ? 2 * a + quotient : quotient), x);
}

// x^y. REQUIRES: x >= 0 and finite, y finite.
MT_HD double Pow(double x, double y) {
  // ln x = high + low, to some 60 bits: the error of a plain logarithm is multiplied by |y ln x|.
  const internal::LogParts parts = internal::SplitExponent(x);
  const double f = parts.m - 1;
  const double g = 2 + f;
  const double inverse = 1 / g;  // its rounding, and that of s, are made good by s_low
  const double s = f * inverse;
  const double s_high = AsDouble(AsBits(s) & 0xfffffffff8000000u);
  const double g_high = AsDouble(AsBits(g) & 0xfffffffff8000000u);
  const double g_low = f - (g_high - 2);
  const double s_low = ((f - s_high * g_high) - s_high * g_low) * inverse;
  const double a = parts.k * internal::kLn2High;
  const double b = 2 * s_high;
  const double sum = a + b;
  const double lost = Abs(a) > Abs(b) ? (a - sum) + b : (b - sum) + a;
  const double rest = lost + (parts.k * internal::kLn2Low + (2 * s_low + s * internal::LogSeries(s * s)));
  const double high = sum + rest;
  const double low = rest - (high - sum);
  // y (high + low) = product + tail, by halves of 26 bits.
  const double y_high = AsDouble(AsBits(y) & 0xfffffffff8000000u);
  const double l_high = AsDouble(AsBits(high) & 0xfffffffff8000000u);
  const double y_low = y - y_high;
  const double l_low = high - l_high;
  const double product = y * high;
  const double tail = (((y_high * l_high - product) + y_high * l_low) + y_low * l_high) + y_low * l_low + y * low;
  const bool in_range = Abs(product) < 800;
  const internal::ExpParts e = internal::ReduceExp(product, in_range ? tail : 0);
  const double power = (1 + e.p) * internal::PowerOfTwo(e.k_a) * internal::PowerOfTwo(e.k_b);
  const double of_zero = y > 0 ? 0 : (y < 0 ? internal::kInfinity : 1);
  return x > 0 ? power : of_zero;
}

// sin(pi x) and cos(pi x). REQUIRES: |x| < 2^50.
MT_HD void SinCosPi(double x, double* sine, double* cosine) {
  const double shifted = 2 * x + internal::kShift;
  const double t = (x - 0.5 * (shifted - internal::kShift)) * 3.14159265358979323846;  // in [-pi/4, pi/4]
  const double z = t * t;
  const double z2 = z * z;
  const double z4 = z2 * z2;
  const double sine_rest = ((-1.0 / 6 + z * (1.0 / 120)) + z2 * (-1.0 / 5040 + z * (1.0 / 362880))) +
                           z4 * ((-1.0 / 39916800 + z * (1.0 / 6227020800)) + z2 * (-1.0 / 1307674368000));
  const double cosine_rest = ((1.0 / 24 + z * (-1.0 / 720)) + z2 * (1.0 / 40320 + z * (-1.0 / 3628800))) +
                             z4 * ((1.0 / 479001600 + z * (-1.0 / 87178291200)) + z2 * (1.0 / 20922789888000));
  const double s = t + t * z * sine_rest;
  const double c = 1 - (0.5 * z - z2 * cosine_rest);
  const uint64_t quadrant = AsBits(shifted);
  const bool swap = (quadrant & 1) != 0;
  *sine = ((quadrant & 2) != 0 ? -1.0 : 1.0) * (swap ? c : s);
  *cosine = (((quadrant + 1) & 2) != 0 ? -1.0 : 1.0) * (swap ? s : c);
}

// The largest integer not above x.
MT_HD double Floor(double x) {
  const double shift = WithSign(4503599627370496.0, x);  // 2^52: beyond it every double is an integer
  const double rounded = (x + shift) - shift;
  const double below = rounded > x ? rounded - 1 : rounded;
  return Abs(x) < 4503599627370496.0 ? below : x;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_MATH_H_
