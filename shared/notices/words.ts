import type { EndReason } from '../allocation/end-reason.ts';

/** The languages every text exists in. */
export const LANGUAGES = ['zh', 'en'] as const;

export type Language = (typeof LANGUAGES)[number];

/** One thing said in every language. */
export type Said = Readonly<Record<Language, string>>;

/** Why an allocation ended, as its holder reads it. Follows "it ended:" and stands before a full stop. */
export const END_REASON_WORDS: Readonly<Record<EndReason, Said>> = {
  released: { zh: '您已释放该设备', en: 'it was released' },
  batch_released: { zh: '该设备已被批量释放', en: 'it was released together with others' },
  admin_released: { zh: '管理员已释放该设备', en: 'an administrator released it' },
  expired: { zh: '使用时间已到', en: 'its time ran out' },
  holder_lost: { zh: '客户端长时间没有响应', en: 'your client was silent for too long' },
  device_failed: { zh: '设备发生故障', en: 'the device failed' },
  device_maintenance: { zh: '设备进入维护', en: 'the device is under maintenance' },
  device_deleted: { zh: '设备已下线', en: 'the device was taken out of service' },
  user_deleted: { zh: '账号已注销', en: 'the account was deleted' },
  user_suspended: { zh: '账号已被停用', en: 'the account was suspended' },
  quota_reduced: { zh: '配额已下调', en: 'the quota was lowered' },
  arrears: { zh: '账户欠费', en: 'the account is in arrears' },
  reservation_ended: { zh: '预约时间已结束', en: 'the reservation is over' },
  no_show: { zh: '预约开始后未使用设备', en: 'the reserved device was not used' },
  order_released: { zh: '订单已释放该设备', en: 'the order released it' },
};

/** Why somebody got no device, by error code. A code that is not listed is said with `OTHER_REFUSAL`. */
export const REFUSAL_WORDS: Readonly<Partial<Record<string, Said>>> = {
  INSUFFICIENT_BALANCE: { zh: '账户余额不足', en: 'the balance is too low' },
  ACCOUNT_IN_ARREARS: { zh: '账户欠费', en: 'the account is in arrears' },
  QUOTA_EXCEEDED: { zh: '配额已用完', en: 'the quota is used up' },
  QUOTA_NOT_FOUND: { zh: '账号没有配额', en: 'the account has no quota' },
  QUOTA_EXPIRED: { zh: '配额不在有效期内', en: 'the quota is outside its validity' },
  USER_SUSPENDED: { zh: '账号已被停用', en: 'the account is suspended' },
  USER_DELETED: { zh: '账号已注销', en: 'the account is deleted' },
  NO_DEVICE_AVAILABLE: { zh: '符合条件的设备都在使用中', en: 'every matching device is busy' },
  NO_MATCHING_DEVICE: { zh: '没有符合条件的设备', en: 'no device matches what was asked for' },
  NO_CAPACITY: { zh: '该时段没有可用设备', en: 'no device is free at that time' },
  REQUEST_TIMED_OUT: { zh: '等待时间内没有设备空闲', en: 'no device became free in time' },
  QUOTA_UNAVAILABLE: { zh: '暂时无法核对配额', en: 'the quota cannot be checked at the moment' },
  BILLING_UNAVAILABLE: { zh: '暂时无法核对余额', en: 'the balance cannot be checked at the moment' },
};

export const OTHER_REFUSAL: Said = { zh: '暂时无法完成', en: 'it cannot be done at the moment' };
