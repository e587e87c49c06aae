/**
 * Loaded into every process the cluster starts (`--import`): when the cluster itself dies without a word, its channel
 * closes, and the process ends in order instead of living on unseen.
 */
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();
