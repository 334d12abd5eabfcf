// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
//
// A draw is a pure function of (seed, stream, index): the same on any thread count, tile order, CPU or GPU. A block of
// the generator gives two draws, so draws 2k and 2k + 1 of a stream come from block k. Uniform and normal draws of the
// same stream share their blocks: give quantities that must be independent different streams.
#ifndef MEMTORCH_ENGINE_RANDOM_H_
#define MEMTORCH_ENGINE_RANDOM_H_

#include "engine/core.h"
#include "engine/math.h"

namespace memtorch {

struct Philox {
  uint32_t x[4];

  // The block of counter (index, stream) under key `seed`.
  MT_HD static Philox Block(uint64_t seed, uint64_t stream, uint64_t index) {
    Philox c{{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), static_cast<uint32_t>(stream),
              static_cast<uint32_t>(stream >> 32)}};
    uint32_t key0 = static_cast<uint32_t>(seed);
    uint32_t key1 = static_cast<uint32_t>(seed >> 32);
    // Written out, because a loop here would keep the loops over blocks from vectorising.
    Round(c, key0, key1);
    Round(c, key0, key1);
    Round(c, key0, key1);
    Round(c, key0, key1);
    Round(c, key0, key1);
    Round(c, key0, key1);
    Round(c, key0, key1);
    Round(c, key0, key1);
    Round(c, key0, key1);
    Round(c, key0, key1);
    return c;
  }

 private:
  // One round, and the step of the key to the next.
  MT_HD static void Round(Philox& c, uint32_t& key0, uint32_t& key1) {
    const uint64_t a = uint64_t{0xD2511F53} * c.x[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * c.x[2];
    c = {{static_cast<uint32_t>(b >> 32) ^ c.x[1] ^ key0, static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ c.x[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
};

// Uniform in (0, 1) from the upper 52 of 64 bits: the odd multiples of 2^-53, symmetric about 1/2, never 0 or 1.
MT_HD double Uniform(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 20) | (low >> 12);
  return AsDouble(0x3FF0000000000000u | bits) - (1.0 - 0x1p-53);  // [1, 2) less 1, plus half a step: exact
}

// The two draws of block `block`: indices 2 block and 2 block + 1.
MT_HD void UniformPair(uint64_t seed, uint64_t stream, uint64_t block, double* even, double* odd) {
  const Philox words = Philox::Block(seed, stream, block);
  *even = Uniform(words.x[0], words.x[1]);
  *odd = Uniform(words.x[2], words.x[3]);
}

// Standard normals by Box and Muller; |draw| < 8.6, from the smallest uniform, 2^-53.
MT_HD void NormalPair(uint64_t seed, uint64_t stream, uint64_t block, double* even, double* odd) {
  double u, angle, sine, cosine;
  UniformPair(seed, stream, block, &u, &angle);
  const double radius = Sqrt(-2 * Log(u));
  SinCosPi(2 * angle, &sine, &cosine);
  *even = radius * cosine;
  *odd = radius * sine;
}

// Standard normal of (seed, stream, index).
MT_HD double Normal(uint64_t seed, uint64_t stream, uint64_t index) {
  double even, odd;
  NormalPair(seed, stream, index / 2, &even, &odd);
  return index % 2 == 0 ? even : odd;
}

// What becomes of draws: loc + scale * draw, or e to the power of that, within [min, max].
struct Distribution {
  enum class Kind { kUniform, kNormal, kLogNormal };  // of (loc, loc + scale), or with mean loc and deviation scale

  Kind kind = Kind::kNormal;
  double loc = 0, scale = 1;
  double min = -internal::kInfinity, max = internal::kInfinity;

  MT_HD double Of(double draw) const {
    const double x = draw * scale + loc;
    return Clamp(kind == Kind::kLogNormal ? Exp(x) : x, min, max);
  }
};

// out[i] = draw (seed, stream, first + i), i < n. Threaded. REQUIRES first >= 0.
void FillUniform(uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n);
void FillNormal(uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n);
// The same draws, distributed.
void FillDistributed(const Distribution& distribution, uint64_t seed, uint64_t stream, int64_t first, double* out,
                     int64_t n);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_RANDOM_H_
