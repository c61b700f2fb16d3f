// optim.cu - optimizers: one launch a parameter, in place; state that is not used is a null pointer.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch sgd_step: threads p; lengths
// launch adam_step: threads p; lengths
// launch nadam_step: threads p; lengths
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
