// optim.cu - optimizers: one launch a parameter, in place; state that is not used is a null pointer.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU, but for norms of all
// gradients, which are added in double in another order.
// launch sgd_step: threads p; lengths
// launch adam_step: threads p; lengths
// launch nadam_step: threads p; lengths
// launch adamax_step: threads p; lengths
// launch lion_step: threads p; lengths
// launch rmsprop_step: threads p; lengths
// launch adagrad_step: threads p; lengths
// launch adadelta_step: threads p; lengths
// launch rprop_step: threads p; lengths
// launch asgd_step: threads p; lengths
// launch total_norm: lengths; entries; let parts = min(1024, max(1, g / 16384)); doubles parts; blocks parts;
//     then total_norm_joined; blocks 1; if parts > 1
// launch clip_value: threads g; lengths
// launch clip_norm: threads g; lengths
// launch average_step: threads average; lengths
#include "common.cuh"
#include "math.cuh"

#ifdef NX_FLOATS
// The gradient as rules use it: turned around to maximise, with weight decay added.
__device__ __forceinline__ element gradient_of(element g, element p, double weight_decay, int64 maximize) {
    return mul_add(p, (element)weight_decay, maximize ? g * (element)-1 : g * (element)1);
}

KERNEL NX_NAME(sgd_step)(element* p, int64 p_size, const element* g, int64 g_size, element* buffer, int64 buffer_size, double lr,
                         double momentum, double dampening, double weight_decay, int64 nesterov, int64 maximize, int64 first) {
    const element rate = -(element)lr, keep = (element)momentum, undamped = (element)(1.0 - dampening);
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], weight_decay, maximize);
        if (buffer) {
            element b = first ? d : mul_add(keep, buffer[i], undamped * d);
            buffer[i] = b;
            d = nesterov ? mul_add(keep, b, d) : b;
        }
        p[i] = mul_add(rate, d, p[i]);
    }
}

// First and second moments moved towards the gradient.
__device__ __forceinline__ void moments(element d, element& m, element& v, double beta1, double beta2) {
    m = mul_add(d - m, (element)(1.0 - beta1), m);
    v = mul_add(d * d - v, (element)(1.0 - beta2), v);
}

KERNEL NX_NAME(adam_step)(element* p, int64 p_size, const element* g, int64 g_size, element* m, int64 m_size, element* v, int64 v_size,
                          element* largest, int64 largest_size, double lr, double beta1, double beta2, double eps, double weight_decay,
                          double correction1, double correction2, int64 decoupled, int64 maximize) {
    const element keep = (element)(decoupled ? 1.0 - lr * weight_decay : 1.0), step = (element)(lr / correction1);
    const element inverse2 = (element)(1.0 / sqrt(correction2));
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], decoupled ? 0 : weight_decay, maximize);
        moments(d, m[i], v[i], beta1, beta2);
        element second = v[i];
        if (largest) second = largest[i] = second > largest[i] ? second : largest[i];
        p[i] = p[i] * keep - step * m[i] / (root(second) * inverse2 + (element)eps);
    }
}

KERNEL NX_NAME(nadam_step)(element* p, int64 p_size, const element* g, int64 g_size, element* m, int64 m_size, element* v, int64 v_size,
                           double lr, double beta1, double beta2, double eps, double weight_decay, double by_gradient, double by_moment,
                           double correction2, int64 decoupled, int64 maximize) {
    const element keep = (element)(decoupled ? 1.0 - lr * weight_decay : 1.0), inverse2 = (element)(1.0 / sqrt(correction2));
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], decoupled ? 0 : weight_decay, maximize);
        moments(d, m[i], v[i], beta1, beta2);
        p[i] = p[i] * keep - mul_add((element)by_gradient, d, (element)by_moment * m[i]) / (root(v[i]) * inverse2 + (element)eps);
    }
}

KERNEL NX_NAME(adamax_step)(element* p, int64 p_size, const element* g, int64 g_size, element* m, int64 m_size, element* largest,
                            int64 largest_size, double lr, double beta1, double beta2, double eps, double weight_decay,
                            double correction1, int64 maximize) {
    const element step = (element)(lr / correction1);
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], weight_decay, maximize);
        m[i] = mul_add(d - m[i], (element)(1.0 - beta1), m[i]);
        element past = (element)beta2 * largest[i], now = magnitude(d) + (element)eps;
        largest[i] = now > past ? now : past;
        p[i] = p[i] - step * m[i] / largest[i];
    }
}

KERNEL NX_NAME(lion_step)(element* p, int64 p_size, const element* g, int64 g_size, element* m, int64 m_size, double lr, double beta1,
                          double beta2, double weight_decay, int64 maximize) {
    const element keep = (element)(1.0 - lr * weight_decay), rate = (element)lr;
    for (EACH(i, p_size)) {
        element d = maximize ? -g[i] : g[i], towards = mul_add(d - m[i], (element)(1.0 - beta1), m[i]);
        p[i] = p[i] * keep - (towards > 0 ? rate : towards < 0 ? -rate : (element)0);
        m[i] = mul_add(d - m[i], (element)(1.0 - beta2), m[i]);
    }
}

KERNEL NX_NAME(rmsprop_step)(element* p, int64 p_size, const element* g, int64 g_size, element* square, int64 square_size, element* mean,
                             int64 mean_size, element* buffer, int64 buffer_size, double lr, double alpha, double eps, double weight_decay,
                             double momentum, int64 maximize) {
    const element fresh = (element)(1.0 - alpha), rate = -(element)lr;
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], weight_decay, maximize), variance = square[i] = mul_add(d * d - square[i], fresh, square[i]);
        if (mean) {
            mean[i] = mul_add(d - mean[i], fresh, mean[i]);
            variance = mul_add(-mean[i], mean[i], variance);
        }
        element step = d / (root(variance) + (element)eps);
        if (buffer) step = buffer[i] = mul_add((element)momentum, buffer[i], step);
        p[i] = mul_add(rate, step, p[i]);
    }
}

KERNEL NX_NAME(adagrad_step)(element* p, int64 p_size, const element* g, int64 g_size, element* sum, int64 sum_size, double lr, double eps,
                             double weight_decay, int64 maximize) {
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], weight_decay, maximize);
        sum[i] = mul_add(d, d, sum[i]);
        p[i] = mul_add(-(element)lr, d / (root(sum[i]) + (element)eps), p[i]);
    }
}

KERNEL NX_NAME(adadelta_step)(element* p, int64 p_size, const element* g, int64 g_size, element* square, int64 square_size, element* delta,
                              int64 delta_size, double lr, double rho, double eps, double weight_decay, int64 maximize) {
    const element fresh = (element)(1.0 - rho);
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], weight_decay, maximize);
        square[i] = mul_add(d * d - square[i], fresh, square[i]);
        element step = root(delta[i] + (element)eps) / root(square[i] + (element)eps) * d;
        delta[i] = mul_add(step * step - delta[i], fresh, delta[i]);
        p[i] = mul_add(-(element)lr, step, p[i]);
    }
}

KERNEL NX_NAME(rprop_step)(element* p, int64 p_size, const element* g, int64 g_size, element* before, int64 before_size, element* size,
                           int64 size_size, double slower, double faster, double least, double most, int64 maximize) {
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], 0, maximize), agreement = d * before[i];
        element s = size[i] * (agreement < 0 ? (element)slower : agreement > 0 ? (element)faster : (element)1);
        s = s < (element)least ? (element)least : s;
        size[i] = s = s > (element)most ? (element)most : s;
        if (agreement < 0) d = 0;
        p[i] = p[i] - (d < 0 ? -s : d > 0 ? s : (element)0);
        before[i] = d;
    }
}

KERNEL NX_NAME(asgd_step)(element* p, int64 p_size, const element* g, int64 g_size, element* average, int64 average_size, double decay,
                          double eta, double mu, double weight_decay, int64 maximize) {
    for (EACH(i, p_size)) {
        element d = gradient_of(g[i], p[i], weight_decay, maximize);
        p[i] = mul_add(-(element)eta, d, p[i] * (element)(1.0 - decay * eta));
        average[i] = mul_add(p[i] - average[i], (element)mu, average[i]);
    }
}

// One launch an array, in order: the first starts the sum, the last takes the root. Long arrays are shared out among blocks.
#define TOTAL_NORM                                                                                                                       \
    const element* g, int64 g_size, double* total, int64 total_size, double order, double* scratch, int64 parts, int64 entry, int64 entries

struct Norm {
    double order;
    bool largest;
    __device__ __forceinline__ double join(double a, double b) const { return largest ? (b > a || b != b ? b : a) : a + b; }
    __device__ __forceinline__ double part(double v) const { return largest ? v : order == 2 ? v * v : order == 1 ? v : pow(v, order); }
    // What the threads of the block have, joined in a tree; thread 0 gets it.
    __device__ __forceinline__ double of_block(double sum) const {
        __shared__ double sums[256];
        sums[threadIdx.x] = sum;
        __syncthreads();
        for (int half = 128; half > 0; half /= 2) {
            if (threadIdx.x < half) sums[threadIdx.x] = join(sums[threadIdx.x], sums[threadIdx.x + half]);
            __syncthreads();
        }
        return sums[0];
    }
    __device__ __forceinline__ void finish(double* total, double sum, bool first, bool last) const {
        if (!first) sum = join(total[0], sum);
        total[0] = !last || largest ? sum : order == 2 ? sqrt(sum) : pow(sum, 1.0 / order);
    }
};

KERNEL NX_NAME(total_norm)(TOTAL_NORM) {
    const Norm norm = {order, order == Traits<double>::high()};
    double sum = 0;
    for (EACH(i, g_size)) sum = norm.join(sum, norm.part(fabs((double)g[i])));
    sum = norm.of_block(sum);
    if (threadIdx.x > 0) return;
    if (parts > 1) scratch[blockIdx.x] = sum;
    else norm.finish(total, sum, entry == 0, entry + 1 == entries);
}

KERNEL NX_NAME(total_norm_joined)(TOTAL_NORM) {
    const Norm norm = {order, order == Traits<double>::high()};
    double sum = 0;
    for (int64 i = threadIdx.x; i < parts; i += 256) sum = norm.join(sum, scratch[i]);
    sum = norm.of_block(sum);
    if (threadIdx.x == 0) norm.finish(total, sum, entry == 0, entry + 1 == entries);
}

KERNEL NX_NAME(clip_norm)(element* g, int64 g_size, const double* norm, int64 norm_size, double most) {
    const double factor = most / (norm[0] + 1e-6);
    for (EACH(i, g_size)) g[i] = g[i] * (element)(factor > 1.0 ? 1.0 : factor);
}

KERNEL NX_NAME(clip_value)(element* g, int64 g_size, double most) {
    for (EACH(i, g_size)) g[i] = g[i] > (element)most ? (element)most : g[i] < (element)-most ? (element)-most : g[i];
}

KERNEL NX_NAME(average_step)(element* average, int64 average_size, const element* p, int64 p_size, double decay) {
    for (EACH(i, average_size)) average[i] = mul_add(p[i] - average[i], (element)(1.0 - decay), average[i]);
}
#endif
