// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Base} from "./Base.t.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {IMarketBack} from "../src/interfaces/IMarketBack.sol";
import {FalseToken, FeeToken, OddToken, ReentrantToken, SilentToken} from "./mocks/OddTokens.sol";

/// @notice P1.3: deposits credit what arrives, whatever the token does.
contract DepositTest is Base {
    function testFuzz_deposit_creditsCaller(uint96 amount) public {
        vm.assume(amount != 0);
        token.transfer(stranger, amount);
        vm.startPrank(stranger);
        token.approve(address(market), amount);
        vm.expectEmit(address(market));
        emit Deposited(stranger, stranger, amount);
        market.deposit(amount);
        assertEq(market.free(stranger), amount);
    }

    function test_depositFor_creditsTheOther_paysFromCaller() public {
        token.approve(address(market), 5);
        market.depositFor(stranger, 5);
        assertEq(market.free(stranger), 5);
        assertEq(market.free(address(this)), 0);
        vm.expectRevert(ZeroAddress.selector);
        market.depositFor(address(0), 5);
    }

    function test_deposit_ofNothing_reverts() public {
        vm.expectRevert(ZeroAmount.selector);
        market.deposit(0);
    }

    function test_depositWithPermit_worksOnce_andAlsoIfSomebodyUsedThePermitFirst() public {
        (address owner, uint256 key) = makeAddrAndKey("permit owner");
        token.transfer(owner, 100);
        (uint8 v, bytes32 r, bytes32 s) = _permit(owner, key, 100);
        token.permit(owner, address(market), 100, type(uint256).max, v, r, s); // a front-runner
        vm.prank(owner);
        market.depositWithPermit(100, type(uint256).max, v, r, s);
        assertEq(market.free(owner), 100);
        vm.prank(owner);
        vm.expectRevert(); // neither permit nor allowance: the token says so
        market.depositWithPermit(100, type(uint256).max, v, r, s);
    }

    function test_depositWithPermit_needsNoApproval() public {
        (address owner, uint256 key) = makeAddrAndKey("permit owner");
        token.transfer(owner, 7);
        (uint8 v, bytes32 r, bytes32 s) = _permit(owner, key, 7);
        vm.prank(owner);
        market.depositWithPermit(7, type(uint256).max, v, r, s);
        assertEq(market.free(owner), 7);
    }

    function test_deposit_feeOnTransfer_creditsWhatArrived() public {
        (IMarket odd, OddToken coin) = _oddMarket(new FeeToken());
        coin.mint(address(this), 1000);
        odd.deposit(1000);
        assertEq(odd.free(address(this)), 990);
        assertEq(coin.balanceOf(address(odd)), 990);
    }

    function test_deposit_tokenReturnsFalse_reverts() public {
        (IMarket odd, OddToken coin) = _oddMarket(new FalseToken());
        coin.mint(address(this), 1000);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(coin)));
        odd.deposit(1000);
    }

    function test_deposit_tokenReturnsNothing_isFine() public {
        (IMarket odd, OddToken coin) = _oddMarket(new SilentToken());
        coin.mint(address(this), 1000);
        odd.deposit(1000);
        odd.withdraw(stranger, 400);
        assertEq(odd.free(address(this)), 600);
        assertEq(coin.balanceOf(stranger), 400);
    }

    function test_deposit_insideADeposit_isNotMeasuredTwice() public {
        ReentrantToken coin = new ReentrantToken();
        (IMarket odd,) = _oddMarket(coin);
        coin.mint(address(this), 1000);
        coin.mint(address(coin), 1000);
        coin.arm(odd, abi.encodeCall(IMarketBack.deposit, (1000)));
        odd.deposit(1000);
        assertFalse(coin.succeeded());
        assertEq(odd.free(address(this)) + odd.free(address(coin)), coin.balanceOf(address(odd)));
    }

    function test_withdraw_insideAWithdraw_gainsNothing() public {
        ReentrantToken coin = new ReentrantToken();
        (IMarket odd,) = _oddMarket(coin);
        coin.mint(address(this), 1000);
        odd.depositFor(address(coin), 500);
        odd.deposit(500);
        coin.arm(odd, abi.encodeCall(IMarketBack.withdraw, (address(coin), 500)));
        odd.withdraw(stranger, 500);
        assertFalse(coin.succeeded());
        assertEq(odd.free(address(coin)), coin.balanceOf(address(odd)));
    }

    function _oddMarket(OddToken coin) private returns (IMarket, OddToken) {
        return (_deployMarket(address(coin), STAKE, 0.01e18, address(0), _limits()), coin);
    }

    function _permit(address owner, uint256 key, uint256 amount) private view returns (uint8, bytes32, bytes32) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash =
            keccak256(abi.encode(typeHash, owner, address(market), amount, token.nonces(owner), type(uint256).max));
        return vm.sign(key, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash)));
    }
}
