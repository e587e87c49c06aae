import type { BillingAlert, Channel, FormRow, NoticeForm, NoticeType } from './catalogue.ts';

const SCREEN: readonly Channel[] = ['websocket'];
const MAIL: readonly Channel[] = ['websocket', 'email'];
const EVERY_WAY: readonly Channel[] = ['websocket', 'email', 'sms'];

/** The catalogue: one row a form. */
export const FORMS: Readonly<Record<NoticeForm, FormRow>> = {
  allocation_success: {
    channels: MAIL,
    priority: 'normal',
    once: ['allocationId'],
    title: { zh: '设备分配成功', en: 'Your device is ready' },
    message: { zh: '设备 {deviceId} 已分配给您，可使用至 {expiresAt:time}。', en: 'Device {deviceId} is yours until {expiresAt:time}.' },
  },
  allocation_failed: {
    channels: SCREEN,
    priority: 'normal',
    once: ['requestId'],
    title: { zh: '设备分配失败', en: 'No device was allocated' },
    message: { zh: '未能为您分配设备：{code:refused}。', en: 'You did not get a device: {code:refused}.' },
  },
  allocation_expired: {
    channels: MAIL,
    priority: 'normal',
    once: ['allocationId'],
    title: { zh: '设备使用已到期', en: 'Your time on the device is over' },
    message: {
      zh: '设备 {deviceId} 已于 {expiredAt:time} 到期收回，共使用 {durationSeconds:span}。',
      en: 'Device {deviceId} was taken back at {expiredAt:time} after {durationSeconds:span}.',
    },
  },
  allocation_expiring_soon: {
    channels: SCREEN,
    priority: 'high',
    once: ['allocationId', 'expiresAt'],
    title: { zh: '设备即将到期', en: 'Your time on the device ends soon' },
    message: {
      zh: '设备 {deviceId} 将于 {expiresAt:time} 到期，剩余约 {minutesLeft} 分钟。如需继续使用，请及时续期。',
      en: 'Device {deviceId} is yours until {expiresAt:time}, about {minutesLeft} more minutes. Extend it to keep it.',
    },
  },
  allocation_extended: {
    channels: SCREEN,
    priority: 'normal',
    once: ['allocationId', 'newExpiresAt'],
    title: { zh: '设备续期成功', en: 'Your time on the device was extended' },
    message: {
      zh: '设备 {deviceId} 已续期 {additionalMinutes} 分钟，可使用至 {newExpiresAt:time}。',
      en: 'Device {deviceId} is yours for {additionalMinutes} more minutes, until {newExpiresAt:time}.',
    },
  },
  device_released: {
    channels: SCREEN,
    priority: 'normal',
    once: ['allocationId'],
    title: { zh: '设备已释放', en: 'Your device was given back' },
    message: {
      zh: '设备 {deviceId} 已释放（{endReason:ended}），共使用 {durationSeconds:span}。',
      en: 'You no longer hold device {deviceId}: {endReason:ended}. You used it for {durationSeconds:span}.',
    },
  },
  queue_joined: {
    channels: SCREEN,
    priority: 'low',
    once: ['queueId'],
    title: { zh: '已加入排队', en: 'You are in the queue' },
    message: {
      zh: '您已加入设备排队，最长等待 {maxWaitMinutes} 分钟，分配后将通知您。',
      en: 'You wait for a device, for {maxWaitMinutes} minutes at most. We tell you when it is there.',
    },
  },
  queue_fulfilled: {
    channels: MAIL,
    priority: 'high',
    once: ['queueId'],
    title: { zh: '排队成功，设备已分配', en: 'The device you waited for is ready' },
    message: {
      zh: '等待 {waitedMinutes} 分钟后，设备 {deviceId} 已分配给您。',
      en: 'After {waitedMinutes} minutes device {deviceId} is yours.',
    },
  },
  queue_expired: {
    channels: SCREEN,
    priority: 'normal',
    once: ['queueId'],
    title: { zh: '排队已超时', en: 'Your time in the queue is over' },
    message: {
      zh: '等待 {waitedMinutes} 分钟后仍没有空闲设备，排队已结束。',
      en: 'No device became free within {waitedMinutes} minutes, so you are no longer in the queue.',
    },
  },
  queue_cancelled: {
    channels: SCREEN,
    priority: 'low',
    once: ['queueId'],
    title: { zh: '排队已取消', en: 'You left the queue' },
    message: { zh: '您的设备排队已取消。', en: 'You no longer wait for a device.' },
  },
  reservation_created: {
    channels: MAIL,
    priority: 'normal',
    once: ['reservationId'],
    title: { zh: '预约成功', en: 'Your reservation is confirmed' },
    message: {
      zh: '已为您预约设备，时间为 {reservedStartTime:time} 至 {reservedEndTime:time}。',
      en: 'A device is reserved for you from {reservedStartTime:time} until {reservedEndTime:time}.',
    },
  },
  reservation_cancelled: {
    channels: SCREEN,
    priority: 'normal',
    once: ['reservationId'],
    title: { zh: '预约已取消', en: 'Your reservation was cancelled' },
    message: { zh: '{reservedStartTime:time} 的预约已取消。', en: 'Your reservation for {reservedStartTime:time} was cancelled.' },
  },
  reservation_reminder: {
    channels: SCREEN,
    priority: 'high',
    once: ['reservationId', 'reservedStartTime'],
    title: { zh: '预约即将开始', en: 'Your reservation starts soon' },
    message: {
      zh: '您的预约将于 {reservedStartTime:time} 开始，还有约 {minutesLeft} 分钟。',
      en: 'Your reservation starts at {reservedStartTime:time}, in about {minutesLeft} minutes.',
    },
  },
  reservation_executed: {
    channels: SCREEN,
    priority: 'high',
    once: ['reservationId'],
    title: { zh: '预约已开始', en: 'Your reservation has started' },
    message: {
      zh: '设备 {deviceId} 已就绪，可使用至 {reservedEndTime:time}。',
      en: 'Device {deviceId} is ready and yours until {reservedEndTime:time}.',
    },
  },
  reservation_failed: {
    channels: SCREEN,
    priority: 'high',
    once: ['reservationId'],
    title: { zh: '预约未能开始', en: 'Your reservation could not start' },
    message: {
      zh: '{reservedStartTime:time} 的预约未能开始：{code:refused}。',
      en: 'Your reservation for {reservedStartTime:time} could not start: {code:refused}.',
    },
  },
  reservation_expired: {
    channels: SCREEN,
    priority: 'normal',
    once: ['reservationId'],
    title: { zh: '预约已过期', en: 'Your reservation has lapsed' },
    message: { zh: '{reservedStartTime:time} 的预约已过期。', en: 'Your reservation for {reservedStartTime:time} has lapsed.' },
  },
  'billing_alert.arrears': {
    channels: EVERY_WAY,
    priority: 'urgent',
    once: ['causeId'],
    title: { zh: '账户欠费，设备已停用', en: 'Your account is in arrears' },
    message: {
      zh: '因账户欠费，您的设备、排队和预约均已取消。付清后即可恢复使用。',
      en: 'Your devices, your place in the queue and your reservations were given up. Pay what is due to use devices again.',
    },
  },
  'billing_alert.payment_failed': {
    channels: MAIL,
    priority: 'high',
    once: ['causeId'],
    title: { zh: '扣款失败', en: 'A payment failed' },
    message: {
      zh: '最近一次扣款失败，请检查支付方式，以免设备被停用。',
      en: 'Your last payment failed. Please check how you pay, so that you can keep your devices.',
    },
  },
  'billing_alert.balance_low': {
    channels: MAIL,
    priority: 'high',
    once: ['causeId'],
    title: { zh: '余额不足提醒', en: 'Your balance is low' },
    message: { zh: '账户余额偏低，请及时充值。', en: 'Your balance is low. Please top it up to keep using devices.' },
  },
  'billing_alert.restored': {
    channels: MAIL,
    priority: 'normal',
    once: ['causeId'],
    title: { zh: '账户已恢复', en: 'Your account is active again' },
    message: { zh: '已收到您的付款，可以继续使用设备。', en: 'Thank you for your payment. You can use devices again.' },
  },
};

/** The form a notice takes. `data` are those of the type. */
export function formOf(type: NoticeType, data: Readonly<Record<string, unknown>>): NoticeForm {
  return type === 'billing_alert' ? `billing_alert.${data['alert'] as BillingAlert}` : type;
}
